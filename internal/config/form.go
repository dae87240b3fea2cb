package config

import (
	"reflect"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Form says how a text is written, in terms that a JSON schema has too. The reader checks it, so that an
// editor and the program agree.
type Form struct {
	Kind    string // in words, for the reference
	Pattern string // that it matches; empty for any text
	Except  string // that it does not match
	Max     int    // longest, in characters; 0 for any
}

// Formed is a text that tells how it is written.
type Formed interface{ Describe() Form }

// Fits tells whether a text has the form.
func (f Form) Fits(text string) bool {
	return pattern(f.Pattern).MatchString(text) && (f.Except == "" || !pattern(f.Except).MatchString(text)) &&
		(f.Max == 0 || utf8.RuneCountInString(text) <= f.Max)
}

var patterns sync.Map // of their texts to regular expressions

func pattern(text string) *regexp.Regexp {
	known, ok := patterns.Load(text)
	if !ok {
		known, _ = patterns.LoadOrStore(text, regexp.MustCompile(text))
	}
	return known.(*regexp.Regexp)
}

// Alternatives is a type that is written in one of several ways, each that of another type.
type Alternatives interface{ Forms() []reflect.Type }

// bounds reports a number outside the range that its field's tags name.
func (f Field) bounds(at *At, v reflect.Value) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if f.Min == f.Max || !v.CanInt() {
		return
	}
	if n := v.Int(); n < f.Min || n > f.Max {
		at.Errorf("%s: %d is out of range", f.Key, n).Hint("use a number from %d to %d", f.Min, f.Max)
	}
}

func tagNumber(tag reflect.StructTag, name string) int64 {
	n, _ := strconv.ParseInt(tag.Get(name), 10, 64) // absent is 0
	return n
}
