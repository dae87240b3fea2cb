package boot

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// ReadConfig reads one GRUB script, such as the one on the EFI system partition that leads to the
// configuration proper.
func ReadConfig(files Files, name string) (*Menu, error) {
	m := &Menu{}
	_, err := m.script(files, name)
	return m, err
}

// follower goes through a GRUB script as GRUB would, but takes every branch of a condition: what it
// collects must hold whichever way a condition goes.
type follower struct {
	menu      *Menu
	file      string
	text      string
	variables // names of devices are in the form of Place.Device
}

func (m *Menu) script(files Files, name string) (*follower, error) {
	data, err := menu(files, name)
	if err != nil {
		return nil, err
	}
	script, err := grub.Parse(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	top := &follower{m, name, script.Text, readVariables(files, name, script)}
	delete(top.values, "root")
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
	s.values = maps.Clone(s.values)
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
		f.set(c.Words[1].Expand(f.values))
	case strings.Contains(name, "=") && len(c.Words) == 1:
		f.set(c.Words[0].Expand(f.values))
	case name == "search" || strings.HasPrefix(name, "search."):
		f.search(c)
	case strings.HasPrefix(name, "linux"):
		return f.linux(c)
	case strings.HasPrefix(name, "initrd"):
		f.initrd(c)
	case name == "configfile" && len(c.Words) == 2:
		f.menu.Configs = append(f.menu.Configs, f.ref(c, c.Words[1]))
	}
	switch m := f.menu; {
	case len(m.Entries) > maxEntries:
		return tooMany("boot entries", maxEntries)
	case len(m.Configs)+len(m.Searches) > maxNamed:
		return tooMany("searches and further configurations", maxNamed)
	}
	return nil
}

// set follows variables that hold devices, which are as the last command left them. For all others
// the first value holds, see variables.
func (f *follower) set(assignment string) {
	name, value, _ := strings.Cut(assignment, "=")
	if name == "root" || strings.HasPrefix(value, "(") {
		f.values[name] = value
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
		text := w.Expand(f.values)
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
		f.values[variable] = device
	}
}

func (f *follower) linux(c *grub.Command) error {
	if len(c.Words) < 2 || strings.Contains(c.Words[1].Value(), "memtest") {
		return nil
	}
	e := Entry{File: f.file, Line: c.Line, Recovery: c.Recovery(), Kernel: f.ref(c, c.Words[1])}
	e.Text = f.text[c.Words[0].Start:c.Words[len(c.Words)-1].End]
	for _, w := range c.Args() {
		more, err := f.argument(w, Origin{File: f.file, Line: c.Line})
		if err != nil {
			return err
		}
		e.Arguments = append(e.Arguments, more...)
	}
	if c.Entry != nil && len(c.Entry.Words) > 1 {
		e.Title = c.Entry.Words[1].Expand(f.values)
	}
	f.menu.Entries = append(f.menu.Entries, e)
	return nil
}

// argument is what a word of a linux command adds to the kernel's arguments.
func (v variables) argument(w grub.Word, at Origin) ([]Argument, error) {
	if w.Literal() {
		return []Argument{{w.Value(), at}}, nil
	}
	if names := w.Variables(); len(names) == 1 && w.Value() == "${"+names[0]+"}" && v.from[names[0]].File != "" {
		at = v.from[names[0]]
	}
	args, err := kargs.Split(w.Expand(v.values))
	return ArgumentsAt(args, at), err
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
	text := w.Expand(f.values)
	r := Ref{File: f.file, Line: c.Line, Place: Place{f.values["root"], text}}
	for _, name := range w.Variables() {
		if _, set := f.values[name]; !set && name != "root" {
			r.Unset = name
		}
	}
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "("), ")"); ok && strings.HasPrefix(text, "(") {
		r.Place = Place{inner, rest}
	}
	r.Place.Path = path.Clean("/" + r.Place.Path)
	return r
}

// variables are GRUB's, as its environment block and its configuration set them. Conditions are not
// evaluated: what comes first holds, as in "if it is not loaded, then set".
type variables struct {
	values map[string]string
	from   map[string]Origin
	loaded map[string]bool // files that were read
}

// Variables are the values of GRUB's variables, by name.
func Variables(files Files, config string, script *grub.Script) map[string]string {
	return readVariables(files, config, script).values
}

func readVariables(files Files, config string, script *grub.Script) variables {
	v := variables{map[string]string{}, map[string]Origin{}, map[string]bool{}}
	v.load(files, path.Join(path.Dir(config), "grubenv"))
	for _, c := range script.Find("set", "load_env") {
		for i, w := range c.Words {
			value := w.Expand(v.values)
			if name, text, ok := strings.Cut(value, "="); ok && c.Name() == "set" {
				v.first(name, text, Origin{config, c.Line, name})
			}
			if i > 0 && (c.Words[i-1].Value() == "-f" || c.Words[i-1].Value() == "--file") {
				v.load(files, value)
				v.load(files, path.Join("/boot", value)) // as seen from a boot partition
			}
		}
	}
	return v
}

// load takes over what an environment block sets.
func (v variables) load(files Files, name string) {
	if v.loaded[name] || len(v.loaded) == maxLoads {
		return
	}
	v.loaded[name] = true
	data, err := setting(files, name)
	if err != nil {
		return
	}
	env, err := grub.ParseEnv(data)
	if err != nil {
		return
	}
	for key, value := range env.Variables() {
		v.first(key, value, Origin{name, env.Line(key), key})
	}
}

func (v variables) first(key, value string, at Origin) {
	if _, there := v.values[key]; !there && len(v.values) < maxVariables && len(value) <= maxValue {
		v.values[key], v.from[key] = value, at
	}
}
