// Package cloudinit knows what cloud-init takes: the texts that it reads are checked before they are in an image, where
// it would leave them out without a word.
package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Mistake is what is wrong with a text, at a line of it.
type Mistake struct {
	Line int // from 1
	Text string
	Hint string
}

// Kind is what a text is for.
type Kind string

// The texts of a seed, by the names of their files, and files of settings.
const (
	UserData      Kind = "user-data"
	VendorData    Kind = "vendor-data"
	MetaData      Kind = "meta-data"
	NetworkConfig Kind = "network-config"
	Settings      Kind = "settings"
)

// cloudConfig is the first line of most texts.
const cloudConfig = "#cloud-config"

// headers are first lines by which cloud-init knows what a text is; it leaves out a text with any other.
var headers = []string{
	cloudConfig, "#cloud-config-archive", "#cloud-config-jsonp", "#cloud-boothook", "#include", "#include-once", "#part-handler", "## template: jinja",
}

// IsCloudConfig tells whether a text is what cloud-init has a schema for.
func IsCloudConfig(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(first, " \t\r") == cloudConfig
}

// Check finds what is wrong with a text.
func Check(k Kind, text string) []Mistake {
	switch {
	case strings.HasPrefix(text, "\ufeff"):
		return []Mistake{{1, "it begins with a byte order mark, by which cloud-init does not know it", "save it without"}}
	case strings.TrimSpace(text) == "":
		return []Mistake{{1, "it is empty", "leave it out"}}
	case k == UserData || k == VendorData:
		if mistake := header(text); mistake != nil {
			return []Mistake{*mistake}
		}
		if !IsCloudConfig(text) {
			return nil
		}
	}
	node, mistakes := parse(text)
	if len(mistakes) > 0 || node == nil {
		return mistakes
	}
	if node.Kind != yaml.MappingNode {
		return []Mistake{{max(1, node.Line), "it is no mapping of keys to values, which cloud-init would leave out", "write \"key: value\" lines"}}
	}
	switch wrong := value(node, "instance_id"); {
	case k == NetworkConfig:
		return network(node)
	case k == MetaData && wrong != nil:
		return []Mistake{{wrong.Line, "cloud-init reads no instance_id, by which it would know the machine", "write \"instance-id\""}}
	}
	return nil
}

// header finds a first line that cloud-init does not know.
func header(text string) *Mistake {
	first, rest, _ := strings.Cut(text, "\n")
	plain := strings.ToLower(strings.TrimRight(first, " \t\r"))
	for _, h := range headers {
		if plain == h || strings.HasPrefix(h, "#include") && strings.HasPrefix(plain, h) {
			switch {
			case h == "## template: jinja":
				return templated(rest)
			case strings.HasPrefix(first, h):
				return nil
			}
		}
	}
	if strings.HasPrefix(first, "#!") && strings.HasSuffix(first, "\r") {
		return &Mistake{1, "the line ends as on Windows, so that the kernel would look for a program of another name", "save the script with line ends of Unix"}
	}
	if strings.HasPrefix(first, "#!") || strings.HasPrefix(plain, "content-type:") || strings.HasPrefix(plain, "mime-version:") || strings.HasPrefix(text, "\x1f\x8b") {
		return nil
	}
	m := &Mistake{1, fmt.Sprintf("cloud-init does not know what it is by its first line, %q, and would leave it out", shorten(first)), "begin it with \"#cloud-config\", or with \"#!/bin/sh\" where it is a script"}
	if spaced.MatchString(plain) {
		m.Hint = "write the first line as \"#cloud-config\""
	}
	return m
}

// templated finds what is wrong with the line that says what a template makes.
func templated(text string) *Mistake {
	m := header(text)
	if m != nil {
		m.Line++
	}
	return m
}

// spaced are ways in which people write the first line.
var spaced = regexp.MustCompile(`^#*\s*cloud[-_ ]?config:?$`)

func shorten(line string) string {
	if r := []rune(line); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return line
}

// parse reads one YAML document; keys that are there twice are mistakes.
func parse(text string) (*yaml.Node, []Mistake) {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(text)), yaml.WithV4Defaults())
	if err != nil {
		return nil, []Mistake{{1, err.Error(), ""}}
	}
	var root yaml.Node
	switch err := loader.Load(&root); {
	case errors.Is(err, io.EOF):
		return nil, []Mistake{{1, "it holds nothing but comments", "leave it out"}}
	case err != nil:
		return nil, []Mistake{syntax(err)}
	}
	node := &root
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	return node, doubles(node)
}

func syntax(err error) Mistake {
	e, is := errors.AsType[*yaml.LoadError](err)
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok && len(many.Errors) > 0 {
		e, is = many.Errors[0], true
	}
	if !is {
		return Mistake{1, err.Error(), ""}
	}
	line := e.Mark.Line
	if e.ContextMark.Line > 0 && strings.HasPrefix(e.ContextMsg, "while") && strings.Contains(e.ContextMsg, "flow") {
		line = e.ContextMark.Line // where it is opened: the end of the text says nothing
	}
	return Mistake{max(1, line), "it is not YAML: " + e.Message, "YAML is indented with blanks; what begins with one of @ ` % { [ needs quotes"}
}

func doubles(n *yaml.Node) (mistakes []Mistake) {
	seen := map[string]int{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if first := seen[c.Value]; first > 0 && c.Value != "<<" {
				mistakes = append(mistakes, Mistake{c.Line, fmt.Sprintf("the key %q is there twice, first in line %d", c.Value, first), "remove one of them"})
			}
			seen[c.Value] = c.Line
		}
		mistakes = append(mistakes, doubles(c)...)
	}
	return mistakes
}

// Has tells whether a mapping has a key at its top.
func Has(text, key string) bool {
	n, mistakes := parse(text)
	return len(mistakes) == 0 && value(n, key) != nil
}

// openPassword is a key that holds a password as it is.
var openPassword = regexp.MustCompile(`(?m)^\s*-?\s*(plain_text_passwd|password):\s*[^\s#]`)

// OpenPassword is the first line with a password that is not hashed; 0 for none.
func OpenPassword(text string) int {
	at := openPassword.FindStringIndex(text)
	if at == nil {
		return 0
	}
	return strings.Count(text[:at[1]], "\n") + 1
}
