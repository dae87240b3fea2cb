package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// Replacement is what Replace changes in every boot entry.
type Replacement struct {
	Drop []string // names of arguments to remove, besides those of Add
	Add  []string // arguments to add at the end
	Root string   // value of the argument root; empty leaves it
}

// Replace changes kernel arguments in every boot entry itself, those for recovery too, and in
// nothing that entries are generated from: it is for arguments that are known only when the
// filesystem with /etc is complete. The same replacement again changes nothing.
func Replace(files Files, s Scheme, r Replacement) error {
	if why := s.Unsupported(); why != "" {
		return errors.New(why)
	}
	edits, err := r.edits(files, s)
	if err != nil {
		return err
	}
	for _, e := range edits {
		if old, err := files.ReadFile(e.name); err == nil && string(old) == e.text {
			continue
		}
		if err := files.WriteFile(e.name, []byte(e.text), e.mode); err != nil {
			return err
		}
	}
	return Verify(files, s, r.all())
}

func (r Replacement) all() []string {
	if r.Root == "" {
		return r.Add
	}
	return append([]string{"root=" + r.Root}, r.Add...)
}

func (r Replacement) edits(files Files, s Scheme) ([]edit, error) {
	if s.Kind == BLS {
		return r.entryEdits(files, s)
	}
	data, err := files.ReadFile(s.Config)
	if err != nil {
		return nil, err
	}
	text, err := r.inScript(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Config, err)
	}
	return []edit{{s.Config, text, 0o600}}, nil
}

// inScript changes the arguments of a GRUB script's kernel commands. A root that a variable names is
// changed where the variable is set.
func (r Replacement) inScript(text string) (string, error) {
	script, err := grub.Parse(text)
	if err != nil {
		return "", err
	}
	var changes []grub.Edit
	variables := map[string]bool{}
	for _, c := range script.Linux() {
		for _, w := range c.Args() {
			if name, ok := r.rootVariable(w); ok {
				variables[name] = true
			}
		}
		more, err := r.inCommand(c)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", c.Line, err)
		}
		changes = append(changes, more...)
	}
	for _, c := range script.Find("set") {
		for _, w := range c.Words[1:] {
			if name, _, ok := strings.Cut(w.Value(), "="); ok && variables[name] {
				changes = append(changes, grub.Edit{Start: w.Start, End: w.End, Text: name + "=" + r.Root})
			}
		}
	}
	return grub.Apply(text, changes), nil
}

// rootVariable is the variable that a word takes the root from.
func (r Replacement) rootVariable(w grub.Word) (string, bool) {
	value := w.Value()
	name, ok := strings.CutPrefix(value, "root=${")
	return strings.TrimSuffix(name, "}"), ok && r.Root != "" && !w.Literal() && strings.HasSuffix(name, "}")
}

// inCommand changes one kernel command: what is dropped goes with the blank before it, what is added
// stands before $kernelopts or at the end.
func (r Replacement) inCommand(c *grub.Command) (changes []grub.Edit, err error) {
	more, err := kargs.GRUBScript.Join(r.Add)
	if err != nil {
		return nil, err
	}
	place, rooted := c.Words[len(c.Words)-1].End, r.Root == ""
	for i, w := range c.Args() {
		_, variable := r.rootVariable(w)
		switch key := kargs.Name(w.Value()); {
		case variable:
			rooted = true
		case key == "root" && r.Root != "":
			rooted = true
			changes = append(changes, grub.Edit{Start: w.Start, End: w.End, Text: "root=" + r.Root})
		case r.drops(key):
			changes = append(changes, grub.Edit{Start: c.Words[i+1].End, End: w.End, Text: ""})
		case w.Value() == "${kernelopts}" && !w.Literal():
			place = c.Words[i+1].End
		}
	}
	if !rooted {
		more = strings.TrimSpace("root=" + r.Root + " " + more)
	}
	if more == "" {
		return changes, nil
	}
	return append(changes, grub.Edit{Start: place, End: place, Text: " " + more}), nil
}

func (r Replacement) drops(key string) bool {
	return slices.ContainsFunc(slices.Concat(r.Drop, r.Add), func(name string) bool { return kargs.Name(name) == key })
}

// entryEdits changes boot loader entries, those for rescue too.
func (r Replacement) entryEdits(files Files, s Scheme) (edits []edit, err error) {
	more, err := entryCarrier(s.grub()).Join(r.all())
	if err != nil {
		return nil, err
	}
	shared := ""
	for _, name := range list(files, s.Entries, ".conf") {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		e := parseEntry(name, string(text))
		if s.grub() && e.shares() && shared == "" {
			more, value, err := sharedEdits(files, s.Config, r.inShared)
			if err != nil {
				return nil, err
			}
			edits, shared = append(edits, more...), value
		}
		for _, i := range e.find("options") {
			_, value := keyValue(e.lines[i])
			kept := r.keep(value)
			if i == e.options(s.grub()) && (shared == "" || !e.shares()) {
				kept = append(kept, more)
			}
			e.lines[i] = "options " + strings.Join(kept, " ") + "\n"
		}
		if e.options(s.grub()) < 0 {
			if e, err = e.add(r.all(), s.grub()); err != nil {
				return nil, err
			}
		}
		edits = append(edits, edit{name, e.text(), 0o644})
	}
	return edits, nil
}

// keep returns the words of an options line that stay, as they are written.
func (r Replacement) keep(options string) (kept []string) {
	quoted := false
	for _, w := range strings.FieldsFunc(options, func(c rune) bool {
		quoted = quoted != (c == '"')
		return !quoted && (c == ' ' || c == '\t')
	}) {
		key := kargs.Name(kargs.Unquote(w))
		if !r.drops(key) && (key != "root" || r.Root == "") {
			kept = append(kept, w)
		}
	}
	return kept
}
