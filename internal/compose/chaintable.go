package compose

import (
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// ChainRule is what several files of a chain of base configs make of some fields.
type ChainRule struct {
	Rule  string
	Paths []string // a section where the rule is that of all its fields
}

// What the rules are called, in the order in which they are listed.
const (
	byFile = "each file for itself, one after the other: what a file asks for is done to what earlier files left"
	once   = "only one file may have it"
	sticky = "true if any file says so"
	union  = "those of all files, each once"
	whole  = "the last file that has it, as a whole"
	last   = "the last file that sets it; an empty text counts as not set"
	joined = "those of all files, one behind the other"
	mixed  = "key by key: of single values the last that is set, of lists those of all files, one behind the other"
)

// ChainRules lists what becomes of every field of a config in a chain of base configs. It is made of the rules that merge.
func ChainRules() (list []ChainRule) {
	found := map[string][]string{}
	chainRules(step.Root, "", found)
	for _, r := range []string{last, joined, mixed, byFile, once, whole, sticky, union} {
		if paths := found[r]; len(paths) > 0 {
			list = append(list, ChainRule{r, paths})
		}
	}
	return list
}

// chainRules adds the fields of a section to what is found, and tells which rule all of them have.
func chainRules(section reflect.Type, path string, found map[string][]string) {
	for _, f := range config.Fields(section) {
		p := strings.TrimPrefix(path+"."+f.Key, ".")
		if p == "baseConfigs" || slices.Contains(Keys, p) {
			continue
		}
		rule, special := ruleOf(p, f.Type)
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if nested := inner.Kind() == reflect.Struct && len(config.Fields(inner)) > 0; nested && !special && (path == "" || hasSpecial(inner, p)) {
			chainRules(inner, p, found)
			continue
		}
		found[rule] = append(found[rule], p)
	}
}

// ruleOf is the rule of a field, and whether it is one of its own.
func ruleOf(path string, t reflect.Type) (rule string, special bool) {
	switch {
	case slices.Contains(inChain.Once, path):
		return once, true
	case slices.Contains(inChain.Sticky, path):
		return sticky, true
	case slices.Contains(inChain.Union, path):
		return union, true
	case slices.Contains(inChain.Whole, path):
		return whole, true
	case step.ByFile(path):
		return byFile, true
	}
	return plainRule(t), false
}

// plainRule is that of a field by what it is written as.
func plainRule(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice:
		return joined
	case t.Kind() != reflect.Struct || len(config.Fields(t)) == 0:
		return last
	}
	rules := map[string]bool{}
	for _, f := range config.Fields(t) {
		rules[plainRule(f.Type)] = true
	}
	if len(rules) > 1 {
		return mixed
	}
	for r := range rules {
		return r
	}
	return last
}

// hasSpecial tells whether a field below a section has a rule of its own.
func hasSpecial(section reflect.Type, path string) bool {
	return slices.ContainsFunc(config.Fields(section), func(f config.Field) bool {
		_, special := ruleOf(path+"."+f.Key, f.Type)
		return special
	})
}
