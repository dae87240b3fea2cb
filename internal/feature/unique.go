package feature

import (
	"strings"

	"imagecustomizer/internal/config"
)

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
