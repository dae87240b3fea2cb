package compose

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// TestChainRulesAreTrue merges two files with every field, and finds what the table says of it; no field is left out.
func TestChainRulesAreTrue(t *testing.T) {
	t.Parallel()
	listed := map[string]string{}
	for _, r := range ChainRules() {
		for _, p := range r.Paths {
			if listed[p] != "" {
				t.Errorf("%s is listed twice", p)
			}
			listed[p] = r.Rule
		}
	}
	leaves := 0
	var visit func(typ reflect.Type, path, rule string)
	visit = func(typ reflect.Type, path, rule string) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if r := listed[path]; r != "" {
			rule = r
		}
		if typ.Kind() == reflect.Struct && len(config.Fields(typ)) > 0 {
			for _, f := range config.Fields(typ) {
				visit(f.Type, strings.TrimPrefix(path+"."+f.Key, "."), rule)
			}
			return
		}
		leaves++
		checkChainRule(t, path, rule, typ.Kind() == reflect.Slice)
	}
	for _, f := range config.Fields(step.Root) {
		if f.Key != "baseConfigs" {
			visit(f.Type, f.Key, "")
		}
	}
	if leaves < 60 {
		t.Errorf("only %d fields were found", leaves)
	}
}

func checkChainRule(t *testing.T, path, rule string, list bool) {
	t.Helper()
	report := config.NewReport()
	var docs []*config.Document
	for _, x := range []string{"x1", "y1", "x1"} {
		if list {
			x = "[" + x + "]"
		}
		docs = append(docs, report.Parse("a.yaml", []byte(nest(strings.Split(path, "."), x))))
	}
	got := fmt.Sprint(config.Merge(docs, inChain).Plain())
	has := func(s string) bool { return strings.Contains(got, s) }
	ok := false
	switch rule {
	case last, whole:
		ok = has(":x1]") && !has("y1")
	case joined:
		ok = has("[x1 y1 x1]")
	case mixed:
		ok = list && has("[x1 y1 x1]") || !list && has(":x1]") && !has("y1")
	case union:
		ok = has("[x1 y1]")
	case once:
		ok = report.Failed()
	case byFile, sticky:
		ok = true // not by merging: other tests carry them out
	}
	if !ok {
		t.Errorf("%s: %q, but it becomes %s", path, rule, got)
	}
}

// nest is a document with a value at a path.
func nest(keys []string, value string) string {
	for i := len(keys) - 1; i >= 0; i-- {
		value = "{" + keys[i] + ": " + value + "}"
	}
	return value
}
