package system

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// Keymap is what the keys of the console, and of a graphical system, mean.
type Keymap struct {
	Layout  KeymapName `yaml:"layout" required:"true" doc:"Layout, as xkeyboard-config names it. Where there are several, commas stand between them." example:"no"`
	Variant KeymapName `yaml:"variant" doc:"Variant of the layout." example:"nodeadkeys"`
	Model   KeymapName `yaml:"model" default:"pc105" doc:"Kind of keyboard."`
	Options KeymapName `yaml:"options" doc:"Further options, with commas between them." example:"ctrl:nocaps"`
	Console KeymapName `yaml:"console" doc:"Keymap of the console, on systems that have their own for it (kbd). Default: the one that is named as the layout."`
}

// KeymapName is a word, or several with commas between them.
type KeymapName string

var keymapForm = regexp.MustCompile(`^[A-Za-z0-9_.:()+-]*(,[A-Za-z0-9_.:()+-]*)*$`)

// Describe tells how the name is written.
func (KeymapName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: keymapForm.String(), Max: 128}
}

// Validate checks the form.
func (n *KeymapName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q names nothing of a keyboard", string(*n)).Hint("write words of letters and digits, with commas between them, such as \"no\" or \"us,de\"")
	}
}

// Validate finds more variants than layouts.
func (k *Keymap) Validate(at *config.At) {
	if strings.Count(string(k.Variant), ",") > strings.Count(string(k.Layout), ",") {
		at.Field("variant").Errorf("there are more variants than layouts").Hint("write one for each layout, or nothing between the commas")
	}
}

// Used tells whether there is one.
func (k Keymap) Used() bool { return k.Layout != "" }

// Touches are the files that name it.
func (Keymap) Touches() []feature.Touch {
	return []feature.Touch{{Path: vconsoleConf}, {Path: keyboardDefault}}
}

// Plan sets the keymap. An initramfs has it too, for the passphrase of an encrypted disk.
func (k Keymap) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	if g.Facts.Initramfs != "" {
		g.NeedInitramfs("the keymap")
	}
	return plan.Plan{SetKeymap{k}}, nil
}

// Record is all of it.
func (k Keymap) Record() (any, error) {
	return feature.RecordIf(k.Used(), map[string]any{"layout": k.Layout, "variant": k.Variant, "model": k.Model, "options": k.Options, "console": k.Console})
}

// The files that name the keymap: vconsole.conf(5), which systemd reads, and keyboard(5) of Debian's console-setup.
const (
	vconsoleConf    = "/etc/vconsole.conf"
	keyboardDefault = "/etc/default/keyboard"
)

// consoleReaders set the keymap of the console from vconsole.conf.
var consoleReaders = []string{"/usr/lib/systemd/systemd-vconsole-setup", "/lib/systemd/systemd-vconsole-setup"}

// consoleMaps are where kbd has keymaps of the console.
var consoleMaps = []string{"/usr/lib/kbd/keymaps", "/usr/share/kbd/keymaps", "/usr/share/keymaps"}

// xkb is where xkeyboard-config has its lists and layouts.
const xkb = "/usr/share/X11/xkb/"

// SetKeymap sets what keys mean.
type SetKeymap struct{ Keymap Keymap }

// Name identifies the step.
func (SetKeymap) Name() string { return "keymap" }

func (s SetKeymap) String() string { return "set the keymap to " + s.words() }

func (s SetKeymap) words() string {
	return strings.Join(slices.DeleteFunc([]string{string(s.Keymap.Layout), string(s.Keymap.Variant)}, func(w string) bool { return w == "" }), " ")
}

// Replaces lists the files that name it.
func (SetKeymap) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.keymap", append([]string{vconsoleConf}, feature.Present(m, keyboardDefault)...)...)
}

// console tells whether the image's systemd sets the console's keymap, and setup whether Debian's programs do.
func (SetKeymap) console(m *machine.Machine) bool {
	return slices.ContainsFunc(consoleReaders, m.Root.Exists) && m.Has("loadkeys")
}

func (SetKeymap) setup(m *machine.Machine) bool {
	return m.Root.Exists("/usr/share/console-setup") && m.Has("setupcon")
}

// Check looks for what sets a keymap in the image, and for the keymap.
func (s SetKeymap) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	add := func(key, text, hint string) {
		problems = append(problems, plan.Problem{Path: "os.keymap" + key, Text: text, Hint: hint, Later: true})
	}
	setup, console := s.setup(m), s.console(m)
	if !setup && !console {
		add("", "nothing in the image sets a keymap at boot", feature.Installing(m, pkgmgr.Keymaps))
		return problems
	}
	if maps := keymapNames(m); !setup && !slices.Contains(maps, s.consoleMap()) {
		key := ".layout"
		if s.Keymap.Console != "" {
			key = ".console"
		}
		add(key, fmt.Sprintf("the image has no keymap %q for the console", s.consoleMap()),
			config.DidYouMean(s.consoleMap(), maps, "name one that it has with os.keymap.console, or install its package in the same run"))
	}
	if layouts := xkbList(m, "layout"); len(layouts) > 0 {
		s.checkXKB(m, layouts, add)
	}
	return problems
}

// checkXKB looks for layouts and variants in the image's own lists.
func (s SetKeymap) checkXKB(m *machine.Machine, layouts []string, add func(key, text, hint string)) {
	variants, models := xkbList(m, "variant"), xkbList(m, "model")
	chosen := strings.Split(string(s.Keymap.Variant), ",")
	for i, l := range strings.Split(string(s.Keymap.Layout), ",") {
		if !slices.Contains(layouts, l) {
			add(".layout", fmt.Sprintf("the image has no keyboard layout %q", l), config.DidYouMean(l, layouts, "the file "+xkb+"rules/base.lst of the image lists them"))
		} else if i < len(chosen) && chosen[i] != "" && !slices.Contains(variants, l+": "+chosen[i]) {
			var names []string
			for _, v := range variants {
				if name, is := strings.CutPrefix(v, l+": "); is {
					names = append(names, name)
				}
			}
			add(".variant", fmt.Sprintf("the keyboard layout %q has no variant %q", l, chosen[i]), config.DidYouMean(chosen[i], names, "it has "+strings.Join(names, ", ")))
		}
	}
	if model := string(s.Keymap.Model); model != "" && !slices.Contains(models, model) {
		add(".model", fmt.Sprintf("the image knows no keyboard %q", model), config.DidYouMean(model, models, "pc105 fits most"))
	}
}

// consoleMap is the console's keymap.
func (s SetKeymap) consoleMap() string {
	if s.Keymap.Console != "" {
		return string(s.Keymap.Console)
	}
	first, _, _ := strings.Cut(string(s.Keymap.Layout), ",")
	return first
}

// keymapNames are the names of the console's keymaps.
func keymapNames(m *machine.Machine) (names []string) {
	for _, dir := range consoleMaps {
		_ = m.Root.Walk(dir, func(name string, e fs.DirEntry) error { // what cannot be read is not there
			if n, _, is := strings.Cut(path.Base(name), ".map"); is && !e.IsDir() {
				names = append(names, n)
			}
			return nil
		})
	}
	return names
}

// xkbList is a section of the image's list of layouts, models or variants; a variant is "layout: name".
func xkbList(m *machine.Machine, section string) (names []string) {
	text, _ := m.Root.ReadFile(xkb + "rules/base.lst") // without it, no system of windows can be asked
	in := false
	for line := range strings.Lines(string(text)) {
		if kind, is := strings.CutPrefix(line, "! "); is {
			in = strings.TrimSpace(kind) == section
			continue
		}
		f := strings.Fields(line)
		switch {
		case !in || len(f) == 0:
		case section == "variant" && len(f) > 1:
			names = append(names, f[1]+" "+f[0]) // the layout has its colon
		default:
			names = append(names, f[0])
		}
	}
	return names
}

// Run writes the files that the image's programs read, and has Debian's make the keymap out of them.
func (s SetKeymap) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	k := s.Keymap
	if k.Model == "" {
		k.Model = "pc105"
	}
	lines := []string{"XKBLAYOUT=" + quoted(k.Layout), "XKBMODEL=" + quoted(k.Model), "XKBVARIANT=" + quoted(k.Variant), "XKBOPTIONS=" + quoted(k.Options)}
	if slices.Contains(keymapNames(m), s.consoleMap()) {
		lines = append(lines, "KEYMAP="+quoted(KeymapName(s.consoleMap())))
	}
	if s.console(m) || !s.setup(m) || m.Root.Exists(vconsoleConf) {
		if err := setVariables(m, vconsoleConf, lines); err != nil {
			return err
		}
	}
	if !s.setup(m) {
		return nil
	}
	if err := setVariables(m, keyboardDefault, lines[:4]); err != nil {
		return err
	}
	return s.cache(ctx, m)
}

func quoted(n KeymapName) string { return `"` + string(n) + `"` }

// cachedKeymap is what console-setup loads at boot, made out of keyboard(5).
const cachedKeymap = "/etc/console-setup/cached_UTF-8_del.kmap.gz"

// cache has the keymap made anew, which otherwise would be that of the installation.
func (s SetKeymap) cache(ctx context.Context, m *machine.Machine) error {
	if err := m.Root.Remove(cachedKeymap); err != nil && m.Root.Exists(cachedKeymap) {
		return err
	}
	if err := m.Run(ctx, hostcmd.New("setupcon", "--save-only", "--force")); err != nil {
		return err
	}
	if fi, err := m.Root.Stat(cachedKeymap); err != nil || fi.Size() == 0 {
		return fmt.Errorf("setupcon of the image has not made the keymap %s, %s", s.words(), cachedKeymap)
	}
	return nil
}

// setVariables sets lines of shell variables in a file; other lines stay.
func setVariables(m *machine.Machine, file string, lines []string) error {
	if m.Root.Exists(file) {
		err := m.Root.EditLines(file, func(l string) (string, bool) {
			key, _, _ := strings.Cut(strings.TrimSpace(l), "=")
			return l, !slices.ContainsFunc(lines, func(set string) bool { return strings.HasPrefix(set, key+"=") })
		})
		if err != nil {
			return err
		}
	}
	return m.Root.AppendLines(file, 0o644, lines...)
}

// Flags sets it.
func (Keymap) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("keymap", "LAYOUT", "os.keymap.layout", "Layout of the keyboard, such as no.")}
}
