package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// What of a config is secret is a property of its schema: the tag secret of a field. The decoder hides the value of such
// a field, whatever is wrong with it, and the report and the renderer show nothing that is hidden. What was not decoded
// is hidden too, where a key above it looks as if it held secrets.
const (
	secretAlways = "true"  // never shown; may be a secret variable
	secretTakes  = "takes" // may hold secret variables, and is not shown where it does
	secretMaybe  = "maybe" // may hold secrets: it is shown to the user, but no record or hash is made of it
)

// secrecy is what is known of a text that holds secret variables.
type secrecy struct {
	names   []string
	pending bool // it names them only
}

// Secrets are the names of secret variables that the text at this place holds, or names.
func (a *At) Secrets() []string { return a.doc.secrets[resolve(a.node)].names }

// Pending tells whether the text at this place names secret variables that are not known: it says nothing of the value.
func (a *At) Pending() bool { return a.doc.secrets[resolve(a.node)].pending }

// Pending lists the secret variables that texts of the document name, and whose values are not in them.
func (d *Document) Pending() (names []string) {
	d.eachPending(d.root, map[*yaml.Node]bool{}, func(n string) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	})
	slices.Sort(names)
	return names
}

func (d *Document) eachPending(n *yaml.Node, seen map[*yaml.Node]bool, each func(name string)) {
	n = resolve(n)
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	if s := d.secrets[n]; s.pending {
		for _, name := range s.names {
			each(name)
		}
	}
	for _, c := range n.Content {
		d.eachPending(c, seen, each)
	}
}

// Discloser is a section in which a secret field holds no secret, by what its other fields say.
type Discloser interface{ Discloses(key string) bool }

// secret is a text that is never shown.
type secret struct {
	text string
	file string
	node *yaml.Node // that it is the value of; nil where it stands in no file
}

// Hide keeps all text below this place out of what is shown, whatever kind it is of.
func (a *At) Hide() { a.hide(a.node, map[*yaml.Node]bool{}) }

func (a *At) hide(n *yaml.Node, seen map[*yaml.Node]bool) {
	n = resolve(n)
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	if n.Kind == yaml.ScalarNode {
		a.hideScalar(n)
		return
	}
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			a.hide(c, seen)
		}
	}
}

func (a *At) hideScalar(n *yaml.Node) {
	r := a.doc.report
	if n.Value == "" || r.hidden[n] || a.doc.secrets[n].pending {
		return
	}
	r.hidden[n] = true
	if w := a.doc.written[n]; w != nil {
		r.hidden[w] = true
	}
	s := secret{text: n.Value, file: (&At{doc: a.doc, node: n, parent: a}).origin().file, node: n}
	if a.doc.written[n] != nil { // it came out of an expression
		s.node = nil
	}
	r.secrets = append(r.secrets, s)
	if strings.Contains(n.Value, "\n") {
		for line := range strings.Lines(n.Value) {
			if line = strings.TrimSpace(line); line != "" {
				r.secrets = append(r.secrets, secret{text: line})
			}
		}
	}
}

// isHidden tells whether a scalar is a secret.
func (a *At) isHidden(n *yaml.Node) bool {
	return a.doc.report.hidden[n] || a.doc.written[n] != nil && a.doc.report.hidden[a.doc.written[n]]
}

// HideText keeps a text that stands in no file out of what is shown.
func (r *Report) HideText(text string) {
	if text != "" {
		r.secrets = append(r.secrets, secret{text: text})
	}
}

// Secrets lists the texts that must not be shown.
func (r *Report) Secrets() (texts []string) {
	for _, s := range r.secrets {
		texts = append(texts, s.text)
	}
	return texts
}

// delicate matches keys whose values may be secrets, however they are misspelled or misplaced.
var delicate = regexp.MustCompile(`(?i)pass|pwd|secret|token|credential|private|keys?$`)

// suspect notes all values below keys that may be delicate: until they are decoded as something else, they are hidden.
func (d *Document) suspect(n *yaml.Node, below bool, seen map[*yaml.Node]bool) {
	if below {
		n = resolve(n)
	}
	if n == nil || seen[n] {
		return
	}
	seen[n] = below
	switch n.Kind {
	case yaml.ScalarNode:
		if below {
			d.report.suspects[d.file] = append(d.report.suspects[d.file], n)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			d.suspect(n.Content[i+1], below || delicate.MatchString(n.Content[i].Value), seen)
		}
	default:
		for _, c := range n.Content {
			d.suspect(c, below, seen)
		}
	}
}

// clear notes that a scalar was decoded as something that is no secret.
func (a *At) clear(n *yaml.Node) {
	a.doc.report.cleared[n] = true
	if w := a.doc.written[n]; w != nil {
		a.doc.report.cleared[w] = true
	}
}

// clearAll is clear for everything below a node.
func (a *At) clearAll(n *yaml.Node, seen map[*yaml.Node]bool) {
	n = resolve(n)
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	a.clear(n)
	for _, c := range n.Content {
		a.clearAll(c, seen)
	}
}

// hideSecrets hides the secret fields of a section that was decoded into v.
func hideSecrets(at *At, fields []Field, v reflect.Value) {
	open, _ := v.Addr().Interface().(Discloser)
	for _, f := range fields {
		if !at.Has(f.Key) || f.Secret != secretAlways && (f.Secret != secretTakes || len(at.Field(f.Key).Secrets()) == 0) {
			continue
		}
		if value := at.Field(f.Key); open != nil && open.Discloses(f.Key) {
			value.clearAll(value.node, map[*yaml.Node]bool{})
		} else {
			value.Hide()
		}
	}
}

// sifter finds what may be secrets in values that are not decoded, by the schema that they were meant for.
type sifter struct {
	found func(n *yaml.Node) // a value that may be a secret
	other func(n *yaml.Node) // one that is not
	seen  map[*yaml.Node]bool
}

// sift is a sifter that hides what it finds.
func (a *At) sift() sifter {
	return sifter{
		found: func(n *yaml.Node) { a.hide(n, map[*yaml.Node]bool{}) },
		other: func(n *yaml.Node) { a.clearAll(n, map[*yaml.Node]bool{}) },
		seen:  map[*yaml.Node]bool{},
	}
}

// Suspect hides what may be secrets in a node that is meant to be of a type, until it is decoded.
func (n *Node) Suspect(t reflect.Type) {
	doc := n.at.origin()
	s := sifter{found: func(n *yaml.Node) { doc.suspect(n, true, map[*yaml.Node]bool{}) }, other: func(*yaml.Node) {}, seen: map[*yaml.Node]bool{}}
	s.value(n.at.node, t)
}

func (s sifter) value(n *yaml.Node, t reflect.Type) {
	n, t = resolve(n), element(t)
	switch {
	case n == nil || s.seen[n]:
	case n.Kind == yaml.SequenceNode:
		s.seen[n] = true
		for _, c := range n.Content {
			s.value(c, t)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		s.seen[n] = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.key(n.Content[i].Value, n.Content[i+1], t)
		}
	case holdsSecrets(t):
		s.found(n)
	}
}

// key sifts the value of a key of a section. A key that the section does not have may be one of its secrets, unless it
// evidently is another one, misspelt.
func (s sifter) key(key string, value *yaml.Node, section reflect.Type) {
	fields := Fields(section)
	named := func(name string) int { return slices.IndexFunc(fields, func(f Field) bool { return f.Key == name }) }
	at := named(key)
	if at < 0 {
		at = named(nearest(key, keysOf(fields)))
	}
	switch {
	case at < 0 && !delicate.MatchString(key) && !holdsSecrets(section):
	case at < 0, fields[at].Secret == secretAlways, delicate.MatchString(key) && !delicate.MatchString(fields[at].Key):
		s.found(value)
	case bearsSecrets(fields[at].Type):
		s.value(value, fields[at].Type)
	default:
		s.other(value)
	}
}

// SecretField tells whether what stands at a path of a config of this type, such as os.users[0].password.value, is a
// secret, and whether it may hold secret variables.
func SecretField(t reflect.Type, path string) (is, takes bool) {
	secret := secretTag(t, path)
	return secret == secretAlways, secret == secretAlways || secret == secretTakes
}

// secretTag is what the schema says of secrets at a path.
func secretTag(t reflect.Type, path string) string {
	secret := ""
	for name := range strings.SplitSeq(generic(path), ".") {
		t = element(t)
		if t.Kind() != reflect.Struct {
			return secret
		}
		at := slices.IndexFunc(Fields(t), func(f Field) bool { return f.Key == name })
		if at < 0 {
			return ""
		}
		t, secret = Fields(t)[at].Type, Fields(t)[at].Secret
	}
	return secret
}

// SecretPaths lists the fields of a type that may hold secret variables, by their paths.
func SecretPaths(t reflect.Type) (paths []string) {
	secretPaths(t, "", 0, func(p string) { paths = append(paths, p) })
	return paths
}

func secretPaths(t reflect.Type, path string, depth int, found func(string)) {
	if t = element(t); t.Kind() != reflect.Struct || depth > maxDepth/2 {
		return
	}
	for _, f := range Fields(t) {
		p := join(path, f.Key)
		if f.Secret == secretAlways || f.Secret == secretTakes {
			found(p)
		}
		secretPaths(f.Type, p, depth+1, found)
	}
}

// element is what a type is made of.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// holdsSecrets tells whether a section has a secret, itself or in a section of its own.
func holdsSecrets(section reflect.Type) bool {
	has := func(t reflect.Type) bool {
		return t.Kind() == reflect.Struct && slices.ContainsFunc(Fields(t), func(f Field) bool { return f.Secret == secretAlways })
	}
	return has(section) || section.Kind() == reflect.Struct && slices.ContainsFunc(Fields(section), func(f Field) bool {
		return f.Type.Kind() != reflect.Slice && has(element(f.Type))
	})
}

var bearing sync.Map // of reflect.Type to bool

// bearsSecrets tells whether a value of the type may hold a secret at any depth.
func bearsSecrets(t reflect.Type) bool {
	t = element(t)
	if t.Kind() != reflect.Struct {
		return false
	}
	if known, ok := bearing.Load(t); ok {
		return known.(bool)
	}
	bearing.Store(t, false) // where it holds itself
	found := slices.ContainsFunc(Fields(t), func(f Field) bool { return f.Secret == secretAlways || bearsSecrets(f.Type) })
	bearing.Store(t, found)
	return found
}

// scrub takes out of the lines of a file that cannot be read as YAML what may be secrets: the values of delicate keys, up
// to the next line that is indented no more than the key, or to the end of a quote.
func scrub(lines []string) {
	indent, quote := -1, byte(0)
	for i, l := range lines {
		at := len(l) - len(strings.TrimLeft(l, " \t"))
		if quote != 0 || indent >= 0 && (at > indent || at == indent && l[at:] != "" && l[at] == '-' || strings.TrimSpace(l) == "") {
			if end := strings.IndexByte(l, max(quote, 1)); quote != 0 && end >= 0 {
				quote = 0
			}
			lines[i] = l[:at] + "***"
			continue
		}
		indent = -1
		if m := delicateLine.FindStringSubmatchIndex(l); m != nil {
			indent, quote = at, openQuote(l[m[3]:])
			lines[i] = l[:m[3]] + " ***"
		}
	}
}

// delicateLine matches a line that gives a delicate key a value.
var delicateLine = regexp.MustCompile(`(?i)((?:pass\w*|pwd|value|\w*secret\w*|\w*token|\w*keys?|\w*credential\w*)["']?\s*:).*`)

// openQuote is the quote that is not closed in a text, or 0.
func openQuote(text string) (open byte) {
	for _, c := range []byte(text) {
		switch {
		case open == c:
			open = 0
		case open == 0 && (c == '"' || c == '\''):
			open = c
		}
	}
	return open
}
