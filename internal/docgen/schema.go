package docgen

import (
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
)

// A Root is one of the kinds of config that a schema describes.
type Root struct {
	Type        reflect.Type
	Told        []string          // top-level keys by which it is told; none for the kind that all others are
	Unsupported map[string]string // keys that are taken only without a value, and what to do without them
	Parts       reflect.Type      // sections of a config that is made of parts, in which there are expressions
}

// Schema writes a JSON schema (draft 2020-12) for editors. It accepts what the reader accepts; what only the
// reader can tell are rules between fields and on the build host's files.
func Schema(w io.Writer, id, title string, roots ...Root) error {
	var schema map[string]any
	for _, r := range slices.Backward(roots) {
		s := optional(schemaOf(r.Type, "", r.Unsupported))
		if r.Parts != nil {
			s = composed(r)
		}
		if schema == nil {
			schema = s
			continue
		}
		var told []any
		for _, k := range r.Told {
			told = append(told, map[string]any{"required": []string{k}})
		}
		schema = map[string]any{"if": map[string]any{"type": "object", "anyOf": told}, "then": s, "else": schema}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	all := map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "title": title, "$defs": map[string]any{"permissions": permissions()}}
	maps.Copy(all, schema)
	return enc.Encode(all)
}

// permissions are octal digits, with or without quotes. A number has the digits that are written.
func permissions() map[string]any {
	numbers := []int{}
	for n := range 778 {
		if n%10 < 8 && n/10%10 < 8 {
			numbers = append(numbers, n)
		}
	}
	return map[string]any{"anyOf": []any{map[string]any{"type": "string", "pattern": "^(0o?)?[0-7]{1,3}$"}, map[string]any{"enum": numbers}}}
}

func schemaOf(t reflect.Type, path string, unsupported map[string]string) map[string]any {
	if t == reflect.TypeFor[config.Raw]() {
		return map[string]any{"type": []string{"array", "boolean", "integer", "number", "object", "string"}}
	}
	s := shapeOf(t)
	switch s.kind {
	case "octal permissions":
		return map[string]any{"$ref": "#/$defs/permissions"}
	case "alternatives":
		var ways []any
		for _, f := range s.forms {
			way := schemaOf(f, path, unsupported)
			if f.Kind() == reflect.Slice {
				way = needed(way)
			}
			ways = append(ways, way)
		}
		return map[string]any{"anyOf": ways}
	case "one of":
		return map[string]any{"enum": s.values}
	case "true or false":
		return map[string]any{"enum": []any{true, false, "true", "false"}}
	case "number":
		return map[string]any{"type": []string{"integer", "string"}, "pattern": "^[+-]?[0-9]+$"}
	case "list":
		return map[string]any{"type": "array", "items": schemaOf(s.item, path, unsupported)}
	case "mapping":
		return map[string]any{"type": "object", "additionalProperties": entrySchema(schemaOf(s.item, path, unsupported))}
	case "section":
		return sectionSchema(s.fields, path, unsupported)
	}
	return textSchema(s.form)
}

// entrySchema is that of the entries of a mapping; a text may be left out.
func entrySchema(s map[string]any) map[string]any {
	if s["type"] != nil {
		return optional(s)
	}
	return s
}

// textSchema is that of a text of some form. Numbers and such words as true are texts too where they fit.
func textSchema(f config.Form) map[string]any {
	types := []string{"string"}
	s := map[string]any{}
	switch {
	case f.Fits("7") && f.Fits("1.5"):
		types = append(types, "number")
	case f.Fits("7"):
		types = append(types, "integer")
	}
	if len(types) > 1 && !f.Fits("-7") {
		s["minimum"] = 0
	}
	if f.Fits("true") {
		types = append(types, "boolean")
	}
	s["type"] = types
	if f.Pattern != "" {
		s["pattern"] = f.Pattern
	}
	if f.Except != "" {
		s["not"] = map[string]any{"type": "string", "pattern": f.Except}
	}
	if f.Max > 0 {
		s["maxLength"] = f.Max
	}
	return s
}

// optional is the schema of a value that may be left out: null says so, and an empty choice.
func optional(s map[string]any) map[string]any {
	s = maps.Clone(s)
	null := map[string]any{"type": "null"}
	switch types := s["type"].(type) {
	case string:
		s["type"] = []string{types, "null"}
		return s
	case []string:
		s["type"] = append(slices.Clone(types), "null")
		return s
	}
	switch values := s["enum"].(type) {
	case []string:
		list := []any{nil}
		if !slices.Contains(values, "") {
			list = append(list, "")
		}
		for _, v := range values {
			list = append(list, v)
		}
		return map[string]any{"enum": list}
	case []any:
		return map[string]any{"enum": append(slices.Clone(values), nil)}
	}
	if ways, ok := s["anyOf"].([]any); ok {
		return map[string]any{"anyOf": append(slices.Clone(ways), null, map[string]any{"type": "object", "maxProperties": 0})}
	}
	return map[string]any{"anyOf": []any{s, null}}
}

// needed is the schema of a value that must be there.
func needed(s map[string]any) map[string]any {
	s = maps.Clone(s)
	if s["type"] == "array" {
		s["minItems"] = 1
	}
	if s["type"] == "object" {
		s["minProperties"] = 1
	}
	return s
}

func sectionSchema(fields []config.Field, path string, unsupported map[string]string) map[string]any {
	properties := map[string]any{}
	var need []string
	for _, f := range fields {
		properties[f.Key] = fieldSchema(f, join(path, f.Key), unsupported)
		if f.Required {
			need = append(need, f.Key)
		}
	}
	for p, instead := range unsupported {
		if parent, key, _ := cutLast(p); parent == path {
			properties[key] = map[string]any{
				"type": []string{"array", "object", "null"}, "maxItems": 0, "maxProperties": 0, "description": "Not supported yet: " + instead + ".",
			}
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(need) > 0 {
		s["required"] = need
	}
	return s
}

func cutLast(path string) (parent, key string, found bool) {
	i := strings.LastIndex(path, ".")
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func fieldSchema(f config.Field, path string, unsupported map[string]string) map[string]any {
	s := schemaOf(f.Type, path, unsupported)
	if f.Min != f.Max {
		s["minimum"], s["maximum"] = f.Min, f.Max
	}
	switch {
	case f.Required:
		s = needed(s)
	case s["required"] != nil: // of a section: without any key it is left out
		s = maps.Clone(optional(s))
		s["if"], s["then"] = map[string]any{"minProperties": 1}, map[string]any{"required": s["required"]}
		delete(s, "required")
	default:
		s = optional(s)
	}
	s["description"] = f.Doc
	if v, ok := value(f.Default); ok {
		s["default"] = v
	}
	if v, ok := value(f.Example); ok {
		s["examples"] = []any{v}
	}
	return s
}

// value is the text of a default or example as JSON has it.
func value(text string) (any, bool) {
	doc, report := config.Parse("", []byte(text))
	if text == "" || report.Failed() {
		return nil, false
	}
	v := doc.Plain()
	return v, v != nil
}
