package config

import (
	"strings"
	"testing"
)

// chain is a config of any depth.
type chain struct {
	Word  string   `yaml:"word"`
	Words []string `yaml:"words"`
	Next  *chain   `yaml:"next"`
}

// TestBoundsOfDocuments has documents that just fit, and those that are one too many, too deep or too large.
func TestBoundsOfDocuments(t *testing.T) {
	t.Parallel()
	aliases := func(n int) string { return "word: &w x\nwords: [x" + strings.Repeat(", *w", n) + "]\n" }
	nested := func(n int) string { return strings.Repeat("{next: ", n) + "{word: x}" + strings.Repeat("}", n) + "\n" }
	large := func(n int) string { return "word: x\n#" + strings.Repeat("x", n-len("word: x\n#\n")) + "\n" }
	for name, c := range map[string]struct{ text, want string }{
		"aliases":          {aliases(maxAliases), ""},
		"an alias more":    {aliases(maxAliases + 1), "too many aliases"},
		"depth":            {nested(maxDepth - 2), ""},
		"a level more":     {nested(maxDepth), "nested too deeply"},
		"many levels more": {nested(10 * maxDepth), "nested too deeply"},
		"size":             {large(MaxSize), ""},
		"a byte more":      {large(MaxSize + 1), "a config is never that large"},
	} {
		doc, report := Parse("c.yaml", []byte(c.text))
		var into chain
		doc.Decode(&into, Options{})
		err := report.Err()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %.300v, want %q", name, err, c.want)
		}
		if c.want == "" && into.Word != "x" && into.Next == nil {
			t.Errorf("%s: nothing was read", name)
		}
	}
}
