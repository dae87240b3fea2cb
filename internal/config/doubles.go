package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// named tells whether the items of a list are names of something: a type of its own, or what is written as one. Plain
// texts, such as arguments of a program, may well repeat.
func named(item reflect.Type) bool {
	if item.Kind() == reflect.Pointer {
		item = item.Elem()
	}
	switch reflect.New(item).Interface().(type) {
	case Scalar, Unmarshaler:
		return true
	}
	return (item.Kind() == reflect.String || item.Kind() == reflect.Int) && item.PkgPath() != ""
}

// doubles warns of a name that is in a list twice: once was meant to be another, or says too little.
func doubles(at *At, n *yaml.Node, v reflect.Value) {
	if !named(v.Type().Elem()) {
		return
	}
	first := map[string]int{}
	for i, item := range n.Content {
		name := resolve(item).Value
		if kindOf(resolve(item)) != Text {
			name = fmt.Sprint(v.Index(i).Interface())
		}
		before, twice := first[name]
		if !twice || at.Index(before).Layer() != at.Index(i).Layer() {
			first[name] = i
		} else if !at.Index(i).Broken() {
			at.Index(i).Warnf("this is in the list twice, first in line %d", at.Index(before).Line()).Hint("remove one of them")
		}
	}
}

// Contradicts reports each item of a list that another list of the same file has too. What is in two files of a chain is
// carried out one after the other.
func Contradicts[T comparable](at, otherAt *At, list, other []T, report func(item *At, name T)) {
	type named struct {
		name  T
		layer int
	}
	there := map[named]bool{}
	for j, y := range other {
		there[named{y, otherAt.Index(j).Layer()}] = true
	}
	for i, x := range list {
		if there[named{x, at.Index(i).Layer()}] {
			report(at.Index(i), x)
		}
	}
}
