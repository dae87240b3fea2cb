package docgen

import (
	"maps"
	"slices"
)

// expression is the schema of a text that holds an expression.
var expression = map[string]any{"type": "string", "pattern": `\$\{\{`}

// withExpressions is a schema that also takes expressions in the place of values, conditions on the items of lists, and
// what lacks required values: other parts of the config may have them.
func withExpressions(schema map[string]any) map[string]any {
	s := maps.Clone(schema)
	for _, key := range []string{"required", "if", "then", "minItems", "minProperties"} {
		delete(s, key)
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		more := map[string]any{}
		for name, p := range properties {
			more[name] = orExpression(p.(map[string]any))
		}
		s["properties"] = more
	}
	for _, key := range []string{"additionalProperties", "items"} {
		if inner, ok := s[key].(map[string]any); ok {
			s[key] = orExpression(inner)
		}
	}
	if items, ok := s["items"].(map[string]any); ok {
		s["items"] = withCondition(items)
	}
	if ways, ok := s["anyOf"].([]any); ok {
		list := []any{}
		for _, w := range ways {
			list = append(list, withExpressions(w.(map[string]any)))
		}
		s["anyOf"] = list
	}
	return s
}

// orExpression is a schema that takes an expression, too.
func orExpression(schema map[string]any) map[string]any {
	s := withExpressions(schema)
	outer := map[string]any{}
	for _, key := range []string{"description", "default", "examples"} {
		if v, ok := s[key]; ok {
			outer[key] = v
			delete(s, key)
		}
	}
	outer["anyOf"] = []any{s, expression}
	return outer
}

// withCondition is the schema of a list's item: a mapping may have a condition, and a word may take an item out.
func withCondition(item map[string]any) map[string]any {
	ways, _ := item["anyOf"].([]any)
	ways = slices.Clone(ways)
	for i, w := range ways {
		way := maps.Clone(w.(map[string]any))
		properties, ok := way["properties"].(map[string]any)
		if !ok {
			continue
		}
		properties = maps.Clone(properties)
		properties["when"] = condition
		way["properties"] = properties
		ways[i] = way
		ways = append(ways, map[string]any{"type": "string"})
	}
	return map[string]any{"anyOf": ways}
}

// condition is the schema of when.
var condition = map[string]any{
	"type": []string{"string", "object", "boolean"}, "description": "An expression, or a mapping of names and what they are: the part counts where it is so.",
}

// composedAt is where in the whole schema that of a config stands that is made of parts.
const composedAt = "#/else/then"

// composed is the schema of a config that is made of parts.
func composed(r Root) map[string]any {
	body := withExpressions(schemaOf(r.Type, "", r.Unsupported))
	sections := schemaOf(r.Parts, "", nil)["properties"].(map[string]any)
	sections["profiles"] = map[string]any{
		"type": []string{"object", "null"}, "description": "Parts of a config that --profile NAME adds.", "additionalProperties": map[string]any{"anyOf": []any{map[string]any{"$ref": composedAt}, map[string]any{"type": "null"}}},
	}
	sections["matrix"] = matrix()
	maps.Copy(body["properties"].(map[string]any), sections)
	body["properties"].(map[string]any)["when"] = condition
	return body
}

// matrix is the schema of the section that makes several runs of a config.
func matrix() map[string]any {
	value := map[string]any{"type": []string{"boolean", "integer", "number", "string"}}
	name := map[string]any{"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$", "not": map[string]any{"const": "arch"}}
	combos := func(doc string) map[string]any {
		item := map[string]any{"type": "object", "propertyNames": name, "additionalProperties": value}
		return map[string]any{"type": []string{"array", "null"}, "items": item, "description": doc}
	}
	return map[string]any{
		"type":        []string{"object", "null"},
		"description": "Several runs of this config, with other values in each: names, and the values of each, all combined with all. The value of a name is ${{ matrix.NAME }}; that of profile is a profile that is applied, and that of a variable's name is the variable's.",
		"properties": map[string]any{
			"exclude": combos("Combinations to leave out: each has all values that are named."),
			"include": combos("Values to add to those combinations that have the other values that are named, or combinations of their own where none does."),
		},
		"propertyNames":        name,
		"additionalProperties": map[string]any{"type": "array", "minItems": 1, "items": value},
	}
}
