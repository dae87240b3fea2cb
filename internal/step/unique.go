package step

import "imagecustomizer/internal/config"

// Validate finds users, groups and modules that are there twice, of which one would win silently.
func (o *OS) Validate(at *config.At) {
	unique(at.Field("groups"), o.Groups, func(g Group) string { return string(g.Name) })
	unique(at.Field("users"), o.Users, func(u User) string { return string(u.Name) })
	unique(at.Field("modules"), o.Modules, func(m Module) string { return string(m.Name) })
}

func unique[T any](at *config.At, items []T, name func(T) string) {
	seen := map[string]bool{}
	for i, item := range items {
		n := name(item)
		if n != "" && seen[n] {
			at.Index(i).Field("name").Errorf("%s is in this list twice", n).Hint("merge both into one item")
		}
		seen[n] = true
	}
}
