package boot

import (
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// all are the arguments that must be there in the end.
func (r Change) all() []string {
	if r.Root == "" {
		return r.Add
	}
	return append([]string{"root=" + r.Root}, r.Add...)
}

// inScript changes the arguments of a GRUB script's kernel commands. A root that a variable names is
// changed where the variable is set.
func (r Change) inScript(text string) (string, error) {
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
func (r Change) rootVariable(w grub.Word) (string, bool) {
	value := w.Value()
	name, ok := strings.CutPrefix(value, "root=${")
	return strings.TrimSuffix(name, "}"), ok && r.Root != "" && !w.Literal() && strings.HasSuffix(name, "}")
}

// inCommand changes one kernel command: what is dropped goes with the blank before it, what is added
// stands before $kernelopts or at the end.
func (r Change) inCommand(c *grub.Command) (changes []grub.Edit, err error) {
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

func (r Change) drops(key string) bool {
	return slices.ContainsFunc(slices.Concat(r.Drop, r.Add), func(name string) bool { return kargs.Name(name) == key })
}

// script is what the loaders have in common whose entries stand in a GRUB script.
type script struct{ Scheme }

func (s script) Entries(files Files) (*Menu, error) { return ReadConfig(files, s.Config) }

func (s script) Replace(files Files, c Change) error {
	data, err := menu(files, s.Config)
	if err != nil {
		return err
	}
	text, err := c.inScript(string(data))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Config, err)
	}
	if _, err := write(files, []edit{{s.Config, text, 0o600}}); err != nil {
		return err
	}
	return Verify(files, s.Scheme, c.all())
}

// add puts arguments into the normal entries of the script.
func (s script) add(files Files, args []string) ([]edit, error) {
	data, err := menu(files, s.Config)
	if err != nil {
		return nil, err
	}
	parsed, err := grub.Parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Config, err)
	}
	text := parsed.Text
	linux := kernels(files, parsed, readVariables(files, s.Config, parsed).values)
	for _, c := range slices.Backward(linux) { // from the end, so that places stay right
		if text, err = insertArgs(c, text, args); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", s.Config, c.Line, err)
		}
	}
	return []edit{{s.Config, text, 0o600}}, nil
}

// kernels returns the commands of a script that load a kernel of this system in a normal entry.
func kernels(files Files, s *grub.Script, variables map[string]string) (found []*grub.Command) {
	for _, c := range s.Linux() {
		if !c.Recovery() {
			found = append(found, c)
		}
	}
	return ownOf(files, found, func(c *grub.Command) string { return c.Words[1].Expand(variables) })
}

// insertArgs puts arguments that a kernel command lacks before its $kernelopts, which boot-time
// settings of the image go into and which must stay last, or at its end.
func insertArgs(c *grub.Command, text string, args []string) (string, error) {
	missing, err := kargs.GRUBScript.Join(kargs.Literal(c.Args()).Missing(args))
	if err != nil || missing == "" {
		return text, err
	}
	for _, w := range c.Args() {
		if w.Value() == "${kernelopts}" && !w.Literal() {
			return text[:w.Start] + missing + " " + text[w.Start:], nil
		}
	}
	end := c.Words[len(c.Words)-1].End
	return text[:end] + " " + missing + text[end:], nil
}
