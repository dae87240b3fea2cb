package config

import "reflect"

// elsewhere returns the path at which the schema knows a key that stands in the wrong place.
func (d *Document) elsewhere(key string) string {
	if d.schema == nil {
		return ""
	}
	return search(d.schema, key, "", 0)
}

func search(t reflect.Type, key, path string, depth int) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth > 4 {
		return ""
	}
	for _, f := range Fields(t) {
		if f.Key == key {
			return join(path, key)
		}
	}
	for _, f := range Fields(t) {
		if found := search(f.Type, key, join(path, f.Key), depth+1); found != "" {
			return found
		}
	}
	return ""
}
