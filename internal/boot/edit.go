package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// Change is what an edit did, and what is left to do: a program of the image to run.
type Change struct {
	Files      []string // that were written
	Regenerate []string // program and arguments; nil for none
	Env        []string // further environment of it
}

// edit is the new content of a file.
type edit struct {
	name, text string
	mode       fs.FileMode // for a new file
}

// Edit adds kernel arguments to every normal boot entry, or to what those are generated from.
// Arguments that are there already, in this order, are not added again: the same run on its own
// result changes nothing. Arguments of the names in drop are removed first. After a change's program
// has run, Verify must be asked.
func Edit(files Files, s Scheme, args []string, drop ...string) (Change, error) {
	if why := s.Unsupported(); why != "" {
		return Change{}, errors.New(why)
	}
	if len(drop) > 0 && s.Kind != Mkconfig {
		if err := Replace(files, s, Replacement{Drop: drop}); err != nil {
			return Change{}, err
		}
	}
	var c Change
	edits, err := c.plan(files, s, args, drop)
	if err != nil {
		return Change{}, err
	}
	for _, e := range edits {
		old, err := files.ReadFile(e.name)
		if err == nil && string(old) == e.text {
			continue
		}
		if err := files.WriteFile(e.name, []byte(e.text), e.mode); err != nil {
			return c, err
		}
		c.Files = append(c.Files, e.name)
	}
	return c, nil
}

func (c *Change) plan(files Files, s Scheme, args, drop []string) ([]edit, error) {
	switch s.Kind {
	case BLS:
		return entryEdits(files, s, args, drop)
	case Legacy:
		return configEdits(files, s.Config, args)
	}
	program, text := mkconfigProgram(files, s.Config)
	if program == "" {
		return nil, fmt.Errorf("%s is generated, but the image has no grub-mkconfig or grub2-mkconfig to generate it with: install the package that holds it", s.Config)
	}
	c.Regenerate, c.Env = regeneration(program, s)
	d, err := readDefaults(files, text)
	if err == nil {
		d.remove(drop)
		err = d.add(args)
	}
	if err != nil {
		return nil, err
	}
	return d.edits(), nil
}

// mkconfigProgram returns the name and the text of the image's generator, under the name that
// belongs to the place of grub.cfg if both are there.
func mkconfigProgram(files Files, config string) (name, text string) {
	names := []string{"grub-mkconfig", "grub2-mkconfig"}
	if strings.Contains(config, "/grub2/") {
		names = []string{"grub2-mkconfig", "grub-mkconfig"}
	}
	for _, n := range names {
		for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin"} {
			if data, err := files.ReadFile(path.Join(dir, n)); err == nil {
				return n, string(data)
			}
		}
	}
	return "", ""
}

// configEdits adds arguments to the kernel lines of a hand-written grub.cfg.
func configEdits(files Files, config string, args []string) ([]edit, error) {
	data, err := files.ReadFile(config)
	if err != nil {
		return nil, err
	}
	script, err := grub.Parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	text := script.Text
	linux := kernels(files, script, variables(files, config, script))
	for i := len(linux) - 1; i >= 0; i-- { // from the end, so that places stay right
		if text, err = insertArgs(linux[i], text, args); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", config, linux[i].Line, err)
		}
	}
	return []edit{{config, text, 0o600}}, nil
}

// maxCmdline is how long a kernel command line can be, in bytes (COMMAND_LINE_SIZE of x86 and
// arm64, less the final NUL). The kernel drops the rest without a word.
const maxCmdline = 2047

// Verify looks whether every normal boot entry ends, name by name, with the arguments. It is what
// makes a run fail that would otherwise pass and drop them.
func Verify(files Files, s Scheme, args []string) error {
	lines, err := bootLines(files, s)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return fmt.Errorf("no boot entry was found (%s)", s)
	}
	for _, l := range lines {
		if missing := l.kernelArgs().Missing(args); len(missing) > 0 {
			return fmt.Errorf("%s:%d: this boot entry lacks the kernel argument %s, or a later one overrules it; if the entry was written by hand, add it there: %s",
				l.file, l.number, missing[0], strings.TrimSpace(l.text))
		}
		if n := len(strings.Join(l.args, " ")); n > maxCmdline {
			return fmt.Errorf("%s:%d: the kernel arguments are %d bytes long; the kernel reads the first %d only", l.file, l.number, n, maxCmdline)
		}
	}
	return nil
}

// Args returns the kernel arguments of the first normal boot entry. Variables that GRUB's
// configuration sets or loads are expanded.
func Args(files Files, s Scheme) ([]string, error) {
	lines, err := bootLines(files, s)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return lines[0].kernelArgs(), nil
}

// bootLine is the line of a boot entry that holds its kernel arguments.
type bootLine struct {
	file   string
	number int // from 1
	text   string
	args   kargs.Cmdline
}

// kernelArgs are the arguments for the kernel: those behind -- are for init.
func (l bootLine) kernelArgs() kargs.Cmdline {
	for i, a := range l.args {
		if a == "--" {
			return l.args[:i]
		}
	}
	return l.args
}

func bootLines(files Files, s Scheme) ([]bootLine, error) {
	script := &grub.Script{}
	if s.grub() {
		data, err := files.ReadFile(s.Config)
		if err != nil {
			return nil, err
		}
		if script, err = grub.Parse(string(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Config, err)
		}
	}
	variables := variables(files, s.Config, script)
	if s.Kind == BLS {
		return entryLines(files, s, variables)
	}
	return configLines(files, s.Config, script, variables)
}

func configLines(files Files, config string, script *grub.Script, variables map[string]string) (lines []bootLine, err error) {
	for _, c := range kernels(files, script, variables) {
		l, err := configLine(config, script.Text, c, variables)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", config, c.Line, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func configLine(config, text string, c *grub.Command, variables map[string]string) (l bootLine, err error) {
	last := c.Words[len(c.Words)-1]
	l = bootLine{file: config, number: c.Line, text: text[c.Words[0].Start:last.End]}
	for _, w := range c.Args() {
		args := []string{w.Value()}
		if !w.Literal() {
			if args, err = kargs.Split(w.Expand(variables)); err != nil {
				return l, err
			}
		}
		l.args = append(l.args, args...)
	}
	return l, nil
}

func entryLines(files Files, s Scheme, variables map[string]string) (lines []bootLine, err error) {
	entries, err := readEntries(files, s.Entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		args, err := entryArgs(e, variables, s.grub())
		if err != nil {
			return nil, err
		}
		text := strings.Join(e.values("options"), " ")
		lines = append(lines, bootLine{e.file, e.options(s.grub()) + 1, text, args})
	}
	return lines, nil
}

// variables are GRUB's, as its environment block and its configuration set them. Conditions are not
// evaluated: what comes first holds, as in "if it is not loaded, then set".
func variables(files Files, config string, script *grub.Script) map[string]string {
	found := map[string]string{}
	load := func(name string) {
		data, err := files.ReadFile(name)
		if err != nil {
			return
		}
		env, err := grub.ParseEnv(data)
		if err != nil {
			return
		}
		for k, v := range env.Variables() {
			first(found, k, v)
		}
	}
	load(path.Join(path.Dir(config), "grubenv"))
	for _, c := range script.Find("set", "load_env") {
		for i, w := range c.Words {
			value := w.Expand(found)
			if name, v, ok := strings.Cut(value, "="); ok && c.Name() == "set" {
				first(found, name, v)
			}
			if i > 0 && (c.Words[i-1].Value() == "-f" || c.Words[i-1].Value() == "--file") {
				load(value)
				load(path.Join("/boot", value)) // as seen from a boot partition
			}
		}
	}
	return found
}

func first(m map[string]string, key, value string) {
	if _, there := m[key]; !there {
		m[key] = value
	}
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
