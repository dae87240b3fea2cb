package config

import "reflect"

// Paths lists every path of the build host that a decoded config holds, in any field of any depth.
func Paths(value any) (list []Path) {
	collectPaths(reflect.ValueOf(value), &list)
	return list
}

func collectPaths(v reflect.Value, list *[]Path) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			collectPaths(v.Elem(), list)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			collectPaths(v.Index(i), list)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			collectPaths(v.MapIndex(k), list)
		}
	case reflect.Struct:
		if p, ok := v.Interface().(Path); ok {
			*list = append(*list, p)
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous && v.Field(i).CanInterface() {
				collectPaths(v.Field(i), list)
			}
		}
	}
}
