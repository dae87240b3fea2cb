package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/docgen"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/step"
)

// sample is one config, and what it is about.
type sample struct{ name, yaml string }

// written are the configs of this repository: accepted ones and refused ones.
func written(t *testing.T) (list []sample) {
	t.Helper()
	goldens, _ := filepath.Glob("../legacy/testdata/problems*.txt")
	for _, f := range goldens {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split("\n"+string(data), "\n=== ")[1:] {
			name, rest, _ := strings.Cut(part, "\n")
			yaml, _, _ := strings.Cut(rest, "\n---- reported")
			list = append(list, sample{name, yaml})
		}
	}
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "test/*/config/*.yaml"} {
		files, _ := filepath.Glob(filepath.Join(repository, pattern))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts := []string{string(data)}
			if strings.HasSuffix(f, ".md") {
				texts = docgen.Examples(string(data))
			}
			for i, text := range texts {
				list = append(list, sample{fmt.Sprintf("%s, %d", f, i), text})
			}
		}
	}
	return list
}

// values are put in the place of every field.
var values = []string{
	"~", "null", "Null", `"null"`, `"~"`, "", `""`, "[]", "{}", "[~]", "[null, x]", `[""]`, "[x]", "[[]]", "[{}]", "{~: x}", "{x: ~}", "{x: y}",
	"x", "/x", "X-1.y", "-x", `"x y"`, "7", "-7", `"7"`, "1.5", "0x10", "0o644", "0755", "999999999", "true", "True", `"true"`, "yes",
	"!!str ~", "!!str 7", "!!binary eA==", `"x\ny"`, "512M", "auto", "ext4", "http://a/b", "<<",
}

// fields lists every field of a type with a config in which VALUE stands in its place.
func fields(t reflect.Type, around func(string) string, depth int) (list []sample) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if a, ok := reflect.Zero(t).Interface().(config.Alternatives); ok {
		for _, f := range a.Forms() {
			list = append(list, fields(f, around, depth)...)
		}
		return list
	}
	switch {
	case t.Kind() == reflect.Slice:
		list = append(list, sample{yaml: around("[VALUE]")})
		return append(list, fields(t.Elem(), func(s string) string { return around("[" + s + "]") }, depth)...)
	case t.Kind() == reflect.Map:
		list = append(list, sample{yaml: around("{x: VALUE}")})
		return append(list, fields(t.Elem(), func(s string) string { return around("{x: " + s + "}") }, depth)...)
	case t.Kind() != reflect.Struct || depth > 8:
		return nil
	}
	all := config.Fields(t)
	for _, f := range all {
		place := func(s string) string {
			text := "{" + f.Key + ": " + s
			for _, other := range all {
				if other.Required && other.Key != f.Key {
					text += ", " + other.Key + ": " + valid(other.Type)
				}
			}
			return around(text + "}")
		}
		list = append(list, sample{f.Key, place("VALUE")})
		list = append(list, fields(f.Type, place, depth+1)...)
	}
	return list
}

// valid is a value that a field of this type may have.
func valid(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch x := reflect.Zero(t).Interface().(type) {
	case config.Alternatives:
		return valid(x.Forms()[0])
	case config.Formed:
		for _, text := range []string{"x", "/x", "512M", "esp", "http://a/b"} {
			if x.Describe().Fits(text) {
				return text
			}
		}
	case config.Enum:
		return x.Values()[len(x.Values())-1]
	}
	switch t.Kind() {
	case reflect.Slice:
		return "[" + valid(t.Elem()) + "]"
	case reflect.Struct:
		var parts []string
		for _, f := range config.Fields(t) {
			if f.Required {
				parts = append(parts, f.Key+": "+valid(f.Type))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Int, reflect.Int64:
		return "7"
	case reflect.Bool:
		return "true"
	}
	return "x"
}

// combined are configs with every kind of value in the place of every field, directly and by merge keys.
func combined() (list []sample) {
	whole := func(s string) string { return s }
	for _, root := range []reflect.Type{step.Root, reflect.TypeFor[legacy.Config]()} {
		for _, f := range fields(root, whole, 0) {
			for _, v := range values {
				list = append(list, sample{f.name + " = " + v, strings.ReplaceAll(f.yaml, "VALUE", v)})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(step.Unsupported)) {
		for _, v := range []string{"~", "[]", "{}", "x", "{x: y}", "[x]"} {
			parts := strings.Split(key, ".")
			list = append(list, sample{key, strings.Join(parts, ": {") + ": " + v + strings.Repeat("}", len(parts)-1)})
		}
	}
	for _, m := range []string{"*a", "[*a]", "[*a, *b]", "[*b, *a]", "~", "[]", "x", "[x]", "[~]", "{}", "{hostname: y}", "7"} {
		for _, own := range []string{"", "hostname: own, ", "hostname: ~, ", "foo: x, "} {
			list = append(list, sample{"merge " + m, fmt.Sprintf(
				"os: {users: [&a {name: u}, &b {name: v, uid: 7}, {%s<<: %s}], hostname: x}", strings.ReplaceAll(own, "hostname", "name"), m)})
		}
	}
	return list
}

// TestReaderAndSchemaAgree compares what the reader says of the form of configs with what the schema says.
func TestReaderAndSchemaAgree(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	var verdicts []verdict
	seen := map[string]bool{}
	for _, c := range append(written(t), combined()...) {
		if seen[c.yaml] || strings.Contains(strings.ToLower(c.yaml), "permissions: 0x") { // digits that a number does not show
			continue
		}
		seen[c.yaml] = true
		doc, report := config.Parse("config.yaml", []byte(c.yaml))
		if report.Failed() { // no YAML, or not one document
			continue
		}
		if compose.Composed(doc) { // of which the schema says less; TestExamplesInDocumentsAreValid has them
			continue
		}
		legacy.Load(doc, config.Options{FormOnly: true})
		plain := doc.Plain()
		err := schema.Validate(plain)
		if report.Failed() && strings.Contains(report.Err().Error(), "is here twice") {
			continue // which JSON cannot say
		}
		if report.Failed() != (err != nil) {
			t.Errorf("%s:\n%s\nthe reader: %v\nthe schema: %v", c.name, c.yaml, report.Err(), err)
		}
		verdicts = append(verdicts, verdict{c.yaml, plain, err == nil})
	}
	accepted := len(slices.DeleteFunc(slices.Clone(verdicts), func(v verdict) bool { return !v.Accepted }))
	if refused := len(verdicts) - accepted; accepted < 400 || refused < 400 {
		t.Errorf("%d accepted, %d refused: too few configs", accepted, refused)
	}
	t.Logf("%d configs, of which %d are accepted", len(verdicts), accepted)
	askAnother(t, verdicts)
}

// verdict is what one validator of the schema says of a config.
type verdict struct {
	YAML     string
	Config   any
	Accepted bool
}

// another is a program of Python's jsonschema, which shares nothing with the validator in Go.
const another = `
import json, sys, jsonschema
schema, verdicts = json.load(open(sys.argv[1])), json.load(sys.stdin)
validator = jsonschema.Draft202012Validator(schema)
jsonschema.Draft202012Validator.check_schema(schema)
for v in verdicts:
    if validator.is_valid(v["Config"]) != v["Accepted"]:
        print("accepted by one validator only:", v["YAML"])
`

// askAnother asks a second validator.
func askAnother(t *testing.T, verdicts []verdict) {
	t.Helper()
	data, err := json.Marshal(verdicts)
	if err != nil {
		t.Fatal(err)
	}
	if name := os.Getenv("VERDICTS"); name != "" { // for a look by hand, with yet another validator
		_ = os.WriteFile(name, data, 0o644)
	}
	cmd := exec.Command("python3", "-c", another, filepath.Join(repository, "schema.json"))
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
