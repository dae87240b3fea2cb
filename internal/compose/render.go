package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// Rendering says how a config is written as one file.
type Rendering struct {
	Dir     string // of the file that is written: relative paths begin there
	Origins bool   // each value has a comment that says where it stands
	JSON    bool   // as a JSON object with the config and the origins of its values
	Secrets bool   // passwords are written too
}

// Render is the config as one file, which is a valid config itself. It is flat but for base configs that cannot be
// carried out as one file; why they cannot is returned too.
func (r *Result) Render(o Rendering) (text []byte, kept []string, err error) {
	dir, err := filepath.Abs(o.Dir)
	switch {
	case err != nil:
		return nil, nil, err
	case r.doc == nil:
		return nil, nil, errors.New("it is not valid")
	}
	form := config.Rendering{Dir: dir, Type: step.Root, Origins: o.Origins && !o.JSON, Shown: dir, Secrets: o.Secrets, Escape: r.Waiting || len(r.Secrets) > 0}
	doc := r.doc
	if kept = r.Config.Sequential(dir); len(r.Config.Layers) == 0 {
		for _, m := range r.Maybe {
			kept = append(kept, m.Sequential(dir)...)
		}
	}
	switch {
	case len(kept) > 0 && len(r.Config.Layers) == 0:
		return nil, nil, fmt.Errorf("as a file in %s: %s", dir, kept[0])
	case r.Waiting && o.JSON && slices.ContainsFunc(r.open, func(p openPart) bool { return p.doc.Tagged() }):
		return nil, nil, errors.New("conditions ask what the base image is, and JSON has neither !replace nor !remove: say what it is, or render YAML")
	case r.Waiting && len(r.Config.Layers) > 0:
		return nil, nil, errors.New("it has base configs, and conditions that ask what the base image is: say what it is")
	case r.Waiting:
		text, err = config.Pieces(r.pieces(), form)
	case len(kept) > 0:
		doc = r.top
		text, err = doc.YAML(form)
	default:
		doc = doc.Without("baseConfigs")
		text, err = doc.YAML(form)
	}
	if err == nil {
		text = r.declared(text, dir)
	}
	if err != nil || !o.JSON {
		return text, kept, err
	}
	plain, report := config.Parse("", text)
	if err := report.Err(); err != nil {
		return nil, nil, err
	}
	out := map[string]any{"config": plain.Plain()}
	if o.Origins {
		out["origins"] = r.origins(doc, dir)
	}
	text, err = json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), kept, err
}

// declared is a config with the declarations of the secrets that it names. Paths in them lead from dir.
func (r *Result) declared(text []byte, dir string) []byte {
	if len(r.Secrets) == 0 {
		return text
	}
	head := "variables:\n"
	for _, s := range r.Secrets {
		head += "  " + s.Name + ": " + s.declaration(dir) + "\n"
	}
	if string(text) == "{}\n" {
		text = nil
	}
	return append([]byte(head), text...)
}

// declaration is what a config says of the secret.
func (s Secret) declaration(dir string) string {
	d := map[string]any{"type": "secret"}
	switch {
	case s.From.Env != "":
		d["from"] = map[string]any{"env": s.From.Env}
	case len(s.From.Command) > 0:
		d["from"] = map[string]any{"command": s.From.Command}
	case s.From.File.Text != "":
		file := s.From.File.Text
		if rel, err := filepath.Rel(dir, s.From.File.Resolved); err == nil && !filepath.IsAbs(file) {
			file = rel
		}
		d["from"] = map[string]any{"file": file}
	}
	if s.AllowShort {
		d["allowShort"] = true
	}
	if len(s.MayBeInImage) > 0 {
		d["mayBeInImage"] = s.MayBeInImage
	}
	var b strings.Builder
	enc := json.NewEncoder(&b) // JSON is YAML
	enc.SetEscapeHTML(false)
	_ = enc.Encode(d) // plain texts cannot fail
	return strings.TrimSpace(b.String())
}

// pieces are what the config comes to where not all is known.
func (r *Result) pieces() (list []config.Piece) {
	for _, p := range r.open {
		list = append(list, config.Piece{Doc: p.doc, When: p.when})
	}
	return list
}

// origins are the places of all values of what is rendered.
func (r *Result) origins(doc *config.Document, dir string) map[string]config.Origin {
	if !r.Waiting {
		return doc.Origins(dir)
	}
	all := map[string]config.Origin{}
	for i, p := range r.open {
		for pointer, o := range p.doc.Origins(dir) {
			all[fmt.Sprintf("/include/%d/config%s", i, pointer)] = o
		}
	}
	return all
}

// values are all values that the config comes to, by their paths. Where it is not known whether they count, the path says
// under which condition.
func (r *Result) values() map[string]config.Setting {
	all := map[string]config.Setting{}
	if !r.Waiting || len(r.Config.Layers) > 0 {
		all = r.doc.Without("baseConfigs").Values(step.Root)
	}
	for _, s := range r.Secrets {
		all["variables."+s.Name] = s.At.Setting(s.declaration("/"))
	}
	if !r.Waiting {
		return all
	}
	for i, p := range r.open {
		for path, v := range p.doc.Values(step.Root) {
			switch {
			case p.when != "":
				path = fmt.Sprintf("when %s (%d): %s", p.when, i, path)
			case i > 0:
				path = fmt.Sprintf("(%d): %s", i, path)
			}
			all[path] = v
		}
	}
	return all
}

// Diff lists what differs in what two configs come to: path, value and place of each. What depends on the base image is
// compared with its conditions.
func Diff(a, b *Result) (list []string) {
	left, right := a.values(), b.values()
	var paths []string
	for p := range left {
		paths = append(paths, p)
	}
	for p := range right {
		if _, both := left[p]; !both {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		l, hasL := left[p]
		r, hasR := right[p]
		if hasL && hasR && l.Is(r) {
			continue
		}
		if hasL {
			list = append(list, fmt.Sprintf("- %s: %s  (%s:%d)", p, l.Text, l.File, l.Line))
		}
		if hasR {
			list = append(list, fmt.Sprintf("+ %s: %s  (%s:%d)", p, r.Text, r.File, r.Line))
		}
	}
	return list
}

// SameBut tells whether two configs come to the same but for what is below a key.
func SameBut(a, b *Result, key string) bool {
	left, right := a.values(), b.values()
	same := func(from, to map[string]config.Setting) bool {
		for path, v := range from {
			_, plain, numbered := strings.Cut(path, "): ")
			if !numbered {
				plain = path
			}
			if w, both := to[path]; strings.HasPrefix(plain, key) || both && v.Is(w) {
				continue
			}
			return false
		}
		return true
	}
	return same(left, right) && same(right, left)
}
