package boot

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// Place is a file as a boot loader names it: by its path in a filesystem.
type Place struct {
	Device string // UUID=..., LABEL=..., hd0,gpt2 or file:PATH; empty for the filesystem that the configuration lies on
	Path   string
}

// Ref is something that a line of a boot configuration names.
type Ref struct {
	File  string
	Line  int // from 1
	Place Place
	Unset string // a variable of the path that nothing sets
}

// Entry is a boot entry: the files that its boot loader reads, and the kernel's arguments.
type Entry struct {
	File    string
	Line    int // of the kernel's arguments
	Kernel  Ref
	Initrds []Ref
	Args    kargs.Cmdline
}

// Menu is everything that the configuration of a boot loader names.
type Menu struct {
	Entries  []Entry
	Searches []Ref // filesystems that GRUB looks for; Place.Path is empty
	Configs  []Ref // configurations that GRUB goes on with
}

// ReadMenu reads the configuration of a scheme: grub.cfg, and boot loader entries.
func ReadMenu(files Files, s Scheme) (*Menu, error) {
	m := &Menu{}
	root := ""
	var known map[string]string
	if s.grub() {
		e, err := m.script(files, s.Config)
		if err != nil {
			return nil, err
		}
		root, known = e.variables["root"], e.variables
	}
	if s.Entries == "" {
		return m, nil
	}
	for _, f := range list(files, s.Entries, ".conf") {
		if err := m.entry(files, f, root, known, s.grub()); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// ReadConfig reads one GRUB script, such as the one on the EFI system partition that leads to the
// configuration proper.
func ReadConfig(files Files, name string) (*Menu, error) {
	m := &Menu{}
	_, err := m.script(files, name)
	return m, err
}

// entry reads a boot loader entry. Its paths are those of the filesystem that the loader found.
func (m *Menu) entry(files Files, name, root string, known map[string]string, byGRUB bool) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	e := parseEntry(name, string(text))
	if len(e.find("linux")) == 0 {
		return nil // boots an EFI program
	}
	args, err := entryArgs(e, known, byGRUB)
	if err != nil {
		return err
	}
	found := Entry{File: name, Line: e.options(byGRUB) + 1, Args: args}
	place := func(line int, text string) Ref {
		return Ref{File: name, Line: line + 1, Place: Place{root, text}}
	}
	linux := e.find("linux")[0]
	found.Kernel = place(linux, e.values("linux")[0])
	for i, line := range e.find("initrd") {
		for _, word := range strings.Fields(e.values("initrd")[i]) {
			if !strings.HasPrefix(word, "$") { // a further one, where the image sets the variable
				found.Initrds = append(found.Initrds, place(line, word))
			}
		}
	}
	m.Entries = append(m.Entries, found)
	return nil
}

// entryArgs are the arguments of an entry, with GRUB's variables in their place.
func entryArgs(e entry, known map[string]string, byGRUB bool) (args kargs.Cmdline, err error) {
	raw, err := e.args(byGRUB)
	if err != nil || !byGRUB {
		return raw, err
	}
	for _, a := range raw {
		expanded := []string{a}
		if value, ok := known[variableOf(a)]; ok {
			if expanded, err = kargs.Split(value); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", e.file, a, err)
			}
		}
		args = append(args, expanded...)
	}
	return args, nil
}

// variableOf is the name in $NAME or ${NAME}; "" for other text.
func variableOf(word string) string {
	name, ok := strings.CutPrefix(word, "$")
	if !ok {
		return ""
	}
	if inner, ok := strings.CutPrefix(name, "{"); ok && strings.HasSuffix(inner, "}") {
		return strings.TrimSuffix(inner, "}")
	}
	return name
}

// follower goes through a GRUB script as GRUB would, but takes every branch of a condition: what it
// collects must hold whichever way a condition goes.
type follower struct {
	menu      *Menu
	file      string
	text      string
	variables map[string]string // names of devices are in the form of Place.Device
}

func (m *Menu) script(files Files, name string) (*follower, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	script, err := grub.Parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	top := &follower{m, name, script.Text, variables(files, name, script)}
	delete(top.variables, "root")
	scopes := map[*grub.Command]*follower{nil: top}
	// A menu entry runs when the whole script has run.
	if err := top.follow(script.Commands, func(c *grub.Command) *follower {
		if c.Entry == nil {
			return top
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return top, top.follow(script.Commands, func(c *grub.Command) *follower {
		if c.Entry == nil {
			return nil
		}
		return scope(scopes, c.Entry)
	})
}

// scope is the state in an entry, which begins with that of what it stands in.
func scope(scopes map[*grub.Command]*follower, entry *grub.Command) *follower {
	if s := scopes[entry]; s != nil {
		return s
	}
	s := *scope(scopes, entry.Entry)
	s.variables = maps.Clone(s.variables)
	scopes[entry] = &s
	return &s
}

func (f *follower) follow(commands []*grub.Command, of func(*grub.Command) *follower) error {
	for _, c := range commands {
		if in := of(c); in != nil {
			if err := in.command(c); err != nil {
				return fmt.Errorf("%s:%d: %w", f.file, c.Line, err)
			}
		}
	}
	return nil
}

func (f *follower) command(c *grub.Command) error {
	switch name := c.Name(); {
	case name == "set" && len(c.Words) > 1:
		f.set(c.Words[1].Expand(f.variables))
	case strings.Contains(name, "=") && len(c.Words) == 1:
		f.set(c.Words[0].Expand(f.variables))
	case name == "search" || strings.HasPrefix(name, "search."):
		f.search(c)
	case strings.HasPrefix(name, "linux"):
		return f.linux(c)
	case strings.HasPrefix(name, "initrd"):
		f.initrd(c)
	case name == "configfile" && len(c.Words) == 2:
		f.menu.Configs = append(f.menu.Configs, f.ref(c, c.Words[1]))
	}
	return nil
}

// set follows variables that hold devices, which are as the last command left them. For all others
// the first value holds, see variables.
func (f *follower) set(assignment string) {
	name, value, _ := strings.Cut(assignment, "=")
	if name == "root" || strings.HasPrefix(value, "(") {
		f.variables[name] = value
	}
}

// search options that name what is looked for (GRUB manual, "search").
var searchKinds = map[string]string{
	"-u": "UUID", "--fs-uuid": "UUID", "search.fs_uuid": "UUID",
	"-l": "LABEL", "--label": "LABEL", "--fs-label": "LABEL", "search.fs_label": "LABEL",
	"-p": "PARTUUID", "--part-uuid": "PARTUUID", "search.part_uuid": "PARTUUID",
	"-f": "file", "--file": "file", "search.file": "file",
}

// search notes what a search command looks for, and the variable that it sets.
func (f *follower) search(c *grub.Command) {
	kind, wanted, variable := searchKinds[c.Name()], "", ""
	hint := false
	for i, w := range c.Words[1:] {
		text := w.Expand(f.variables)
		option, value, _ := strings.Cut(text, "=")
		switch {
		case hint:
			hint = false
		case searchKinds[option] != "":
			kind = searchKinds[option]
		case option == "-s" || option == "--set":
			variable = value
			if value == "" {
				variable = "root"
			}
		case strings.HasPrefix(text, "-"): // hints, and what devices to leave out
			hint = strings.HasPrefix(text, "--hint") && text == option
		case wanted == "":
			wanted = text
		case strings.HasPrefix(c.Name(), "search.") && i == 1:
			variable = text
		}
	}
	if kind == "" {
		kind = "file" // GRUB's default
	}
	if wanted == "" {
		return
	}
	device := kind + "=" + wanted
	if kind == "file" {
		device = "file:" + wanted
	}
	f.menu.Searches = append(f.menu.Searches, Ref{File: f.file, Line: c.Line, Place: Place{Device: device}})
	if variable != "" {
		f.variables[variable] = device
	}
}

func (f *follower) linux(c *grub.Command) error {
	if len(c.Words) < 2 || strings.Contains(c.Words[1].Value(), "memtest") {
		return nil
	}
	lines, err := configLine(f.file, f.text, c, f.variables)
	if err != nil {
		return err
	}
	f.menu.Entries = append(f.menu.Entries, Entry{File: f.file, Line: c.Line, Kernel: f.ref(c, c.Words[1]), Args: lines.kernelArgs()})
	return nil
}

func (f *follower) initrd(c *grub.Command) {
	n := len(f.menu.Entries)
	if n == 0 {
		return
	}
	e := &f.menu.Entries[n-1]
	for _, w := range c.Words[1:] {
		if !strings.HasPrefix(w.Value(), "--") {
			e.Initrds = append(e.Initrds, f.ref(c, w))
		}
	}
}

// ref is the file that a word of a command names.
func (f *follower) ref(c *grub.Command, w grub.Word) Ref {
	text := w.Expand(f.variables)
	r := Ref{File: f.file, Line: c.Line, Place: Place{f.variables["root"], text}}
	for _, name := range w.Variables() {
		if _, set := f.variables[name]; !set && name != "root" {
			r.Unset = name
		}
	}
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "("), ")"); ok && strings.HasPrefix(text, "(") {
		r.Place = Place{inner, rest}
	}
	r.Place.Path = path.Clean("/" + r.Place.Path)
	return r
}
