package step

import "imagecustomizer/internal/config"

// Validate finds users, groups and modules that are there twice, of which one would win silently.
func (o *OS) Validate(at *config.At) {
	Unique(at.Field("groups"), "name", o.Groups, func(g Group) string { return string(g.Name) })
	Unique(at.Field("users"), "name", o.Users, func(u User) string { return string(u.Name) })
	Unique(at.Field("modules"), "name", o.Modules, func(m Module) string { return string(m.Name) })
}

// Unique refuses items of a list that have the name of an earlier one. key is that of the name.
func Unique[T any](at *config.At, key string, items []T, name func(T) string) {
	first := map[string]*config.At{}
	for i, item := range items {
		n, place := name(item), at.Index(i).Field(key)
		if f := first[n]; f != nil && n != "" {
			place.Errorf("%s is in this list twice, first in line %d as %s", n, f.Line(), f.Path()).Hint("merge both into one item")
			continue
		}
		first[n] = place
	}
}
