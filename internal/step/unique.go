package step

import (
	"path"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
)

// Validate finds users, groups and modules that are there twice, of which one would win silently.
func (o *OS) Validate(at *config.At) {
	Unique(at.Field("groups"), "name", o.Groups, func(g Group) string { return string(g.Name) })
	Unique(at.Field("users"), "name", o.Users, func(u User) string { return string(u.Name) })
	Unique(at.Field("groups"), "gid", o.Groups, func(g Group) string { return number(g.GID) })
	Unique(at.Field("users"), "uid", o.Users, func(u User) string { return number(u.UID) })
	OneSource(at, o.AdditionalFiles)
	Unique(at.Field("modules"), "name", o.Modules, func(m Module) string { return moduleKey(string(m.Name)) })
}

func number(id *int) string {
	if id == nil {
		return ""
	}
	return strconv.Itoa(*id)
}

// Unique refuses items of a list that have the name of an earlier one. key is that of the name.
func Unique[T any](at *config.At, key string, items []T, name func(T) string) {
	first := map[string]*config.At{}
	layer := 0
	for i, item := range items {
		n, place := name(item), at.Index(i).Field(key)
		if l := at.Index(i).Layer(); l != layer { // what is carried out file by file may come again
			layer, first = l, map[string]*config.At{}
		}
		if f := first[n]; f != nil && n != "" {
			hint := "merge both into one item"
			if strings.HasSuffix(strings.ToLower(key), "id") {
				hint = "give each a number of its own"
			}
			place.Errorf("%s is in this list twice, first in line %d as %s", n, f.Line(), f.Path()).Hint("%s", hint)
			continue
		}
		first[n] = place
	}
}

// OneSource warns of files that overwrite each other, of which the last stays.
func OneSource(at *config.At, files []AdditionalFile) {
	list, first := at.Field("additionalFiles"), map[string]int{}
	for i, f := range files {
		to := path.Clean(string(f.Destination))
		if before, twice := first[to]; twice && f.Destination != "" && list.Index(before).Layer() == list.Index(i).Layer() {
			list.Index(i).Field("destination").Warnf("%s is the destination of two files, first in line %d: this one overwrites the other", to, list.Index(before).Field("destination").Line()).
				Hint("remove one of them, or choose another destination")
		}
		first[to] = i
	}
}
