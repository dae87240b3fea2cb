package config

import (
	"reflect"
	"strings"
)

// elsewhere returns the path at which the schema knows a key that stands in the wrong place; of several, that in the
// section that it stands in.
func (d *Document) elsewhere(key, from string) (best string) {
	if d.schema == nil {
		return ""
	}
	most := -1
	search(d.schema, key, "", 0, func(found string) {
		if n := common(found, generic(from)); n > most {
			best, most = found, n
		}
	})
	return best
}

// common is how many leading parts two paths share.
func common(a, b string) (n int) {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}

func search(t reflect.Type, key, path string, depth int, use func(found string)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth > 4 {
		return
	}
	for _, f := range Fields(t) {
		if f.Key == key {
			use(join(path, key))
		}
	}
	for _, f := range Fields(t) {
		search(f.Type, key, join(path, f.Key), depth+1, use)
	}
}
