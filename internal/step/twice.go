package step

import (
	"strconv"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/feature/users"
)

// Validate finds users, groups and modules that are there twice, of which one would win silently.
func (o *OS) Validate(at *config.At) {
	feature.Unique(at.Field("groups"), "name", o.Groups, func(g users.Group) string { return string(g.Name) })
	feature.Unique(at.Field("users"), "name", o.Users, func(u users.User) string { return string(u.Name) })
	feature.Unique(at.Field("groups"), "gid", o.Groups, func(g users.Group) string { return number(g.GID) })
	feature.Unique(at.Field("users"), "uid", o.Users, func(u users.User) string { return number(u.UID) })
	files.OneSource(at, o.AdditionalFiles)
	feature.Unique(at.Field("modules"), "name", o.Modules, func(m system.Module) string { return system.ModuleKey(string(m.Name)) })
}

func number(id *int) string {
	if id == nil {
		return ""
	}
	return strconv.Itoa(*id)
}
