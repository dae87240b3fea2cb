package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Secret keeps this place's text out of everything that is shown of the config.
func (a *At) Secret(text string) {
	if n := resolve(a.node); text != "" && n != nil {
		a.doc.report.secrets = append(a.doc.report.secrets, secret{text, a.origin().file, n.Line, n.Column})
	}
}

// Hide keeps all text below this place out of what is shown, whatever kind it is of.
func (a *At) Hide() { a.hide(a.node, maxDepth) }

func (a *At) hide(n *yaml.Node, depth int) {
	switch n = resolve(n); {
	case n == nil || depth == 0:
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		a.hideBlock(n)
	case n.Kind == yaml.ScalarNode && n.Value != "":
		(&At{doc: a.doc, node: n, parent: a}).Secret(n.Value)
	default:
		for i, c := range n.Content {
			if n.Kind != yaml.MappingNode || i%2 == 1 {
				a.hide(c, depth-1)
			}
		}
	}
}

// hideBlock hides a text of several lines, line by line.
func (a *At) hideBlock(n *yaml.Node) {
	for line := range strings.Lines(n.Value) {
		if line = strings.TrimSpace(line); line != "" {
			a.doc.report.secrets = append(a.doc.report.secrets, secret{text: line, file: a.origin().file})
		}
	}
}

// delicate matches keys below which values may be secrets, however they are misspelled or misplaced.
var delicate = regexp.MustCompile(`(?i)user|pass|secret|token|key|credential`)

// delicateLine matches a line that gives such a key a value.
var delicateLine = regexp.MustCompile(`(?i)((?:pass\w*|value|\w*secret|\w*token)["']?\s*:).*`)

// hideUnknown hides what stands at a key that the schema does not have there, where it may be a secret.
func (a *At) hideUnknown(key *yaml.Node) {
	if !delicate.MatchString(a.path + "." + key.Value) {
		return
	}
	if n := resolve(a.node); n != nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key.Value {
				a.hide(n.Content[i+1], maxDepth)
			}
		}
	}
}
