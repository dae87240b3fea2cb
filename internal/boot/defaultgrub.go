package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

const (
	defaultsFile = "/etc/default/grub"
	defaultsDir  = "/etc/default/grub.d"
)

// Variables of /etc/default/grub (GRUB manual, "Simple configuration"). The first is for every
// entry, the second comes behind it in all entries but those for recovery.
const (
	everyEntry  = "GRUB_CMDLINE_LINUX"
	normalEntry = "GRUB_CMDLINE_LINUX_DEFAULT"
)

var (
	// kernelopts is for GRUB to expand: the shell must be kept from it.
	kernelopts        = regexp.MustCompile(`\\?\$(?:kernelopts\b|\{kernelopts\})`)
	plainWord         = regexp.MustCompile(`[^ \t]+`)
	exposedKernelopts = regexp.MustCompile(`(^|[^\\])(\$(?:kernelopts\b|\{kernelopts\}))`)
)

// defaults are the shell files that grub-mkconfig reads, in its order.
type defaults struct {
	names []string
	texts map[string]string
	old   map[string]string // as they were; without the files that are not there
}

// readDefaults reads /etc/default/grub and, where the image's grub-mkconfig or that file itself
// reads it, /etc/default/grub.d.
func readDefaults(files Files, mkconfig string) (*defaults, error) {
	d := &defaults{names: []string{defaultsFile}, texts: map[string]string{}, old: map[string]string{}}
	if err := d.read(files, defaultsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !strings.Contains(mkconfig+d.texts[defaultsFile], "/default/grub.d") {
		return d, nil
	}
	for _, name := range list(files, defaultsDir, ".cfg") {
		if strings.HasPrefix(path.Base(name), ".") {
			continue // hidden from the shell's *.cfg
		}
		d.names = append(d.names, name)
		if err := d.read(files, name); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *defaults) read(files Files, name string) error {
	text, err := setting(files, name)
	if err != nil {
		return err
	}
	d.texts[name], d.old[name] = string(text), string(text)
	if _, err := grub.Assignments(string(text)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// add adds kernel arguments. Where the variable for normal entries holds $kernelopts, as on Azure
// Linux, they go before that. Elsewhere they go into the variable for every entry, because what a
// kernel needs (a console, a driver's quirk) it needs for recovery too; and again into the one for
// normal entries, which comes later, where that would otherwise overrule them.
func (d *defaults) add(args []string) error {
	d.repairKernelopts()
	normal, err1 := d.args(normalEntry)
	every, err2 := d.args(everyEntry)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if strings.Contains(d.value(normalEntry), "$kernelopts") || strings.Contains(d.value(normalEntry), "${kernelopts}") {
		return d.append(normalEntry, normal.Missing(args))
	}
	if err := d.append(everyEntry, every.Missing(args)); err != nil {
		return err
	}
	return d.append(normalEntry, append(every.Add(args...), normal...).Missing(args))
}

// args are the kernel arguments in a variable, whose value is text of a GRUB script.
func (d *defaults) args(variable string) (kargs.Cmdline, error) {
	words, err := grub.Words(d.value(variable))
	if err != nil {
		file, _ := d.last(variable)
		return nil, fmt.Errorf("%s: %s: %w", file, variable, err)
	}
	return kargs.Literal(words), nil
}

// value is what the variable holds when all files have been read.
func (d *defaults) value(variable string) string {
	values := map[string]string{}
	for _, name := range d.names {
		for _, a := range d.assignments(name) {
			values[a.Name] = a.Evaluate(d.texts[name], values)
		}
	}
	return values[variable]
}

// assignments of a file, which was found readable before.
func (d *defaults) assignments(name string) []grub.Assignment {
	found, _ := grub.Assignments(d.texts[name])
	return found
}

// last is the assignment that holds in the end, and its file; without any, the main file.
func (d *defaults) last(variable string) (file string, last *grub.Assignment) {
	file = defaultsFile
	for _, name := range d.names {
		for _, a := range d.assignments(name) {
			if a.Name == variable {
				file, last = name, &a
			}
		}
	}
	return file, last
}

// remove takes the arguments of these names out of the variables, wherever they are assigned. A word
// that is not written plainly stays; Verify finds it where it matters.
func (d *defaults) remove(names []string) {
	drop := Change{Drop: names}
	for _, name := range d.names {
		text := d.texts[name]
		for _, a := range slices.Backward(d.assignments(name)) { // from the end, so that places stay right
			if a.Name != everyEntry && a.Name != normalEntry {
				continue
			}
			for _, g := range slices.Backward(a.Value) {
				if g.Quote != 0 {
					text = text[:g.Start] + drop.without(text[g.Start:g.End]) + text[g.End:]
				}
			}
		}
		d.texts[name] = text
	}
}

// without drops words, each with the blanks before it or, at the beginning, behind it.
func (r Change) without(text string) string {
	for _, w := range slices.Backward(plainWord.FindAllStringIndex(text, -1)) {
		if !r.drops(kargs.Name(text[w[0]:w[1]])) {
			continue
		}
		before, after := text[:w[0]], text[w[1]:]
		if kept := strings.TrimRight(before, " \t"); kept != "" {
			text = kept + after
		} else {
			text = before + strings.TrimLeft(after, " \t")
		}
	}
	return text
}

func (d *defaults) append(variable string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	more, err := kargs.GRUBScript.Join(args)
	if err != nil {
		return err
	}
	file, a := d.last(variable)
	text := d.texts[file]
	switch {
	case a == nil:
		d.texts[file] = ended(text) + variable + "=" + grub.QuoteIn(0, more) + "\n"
	case a.Conditional: // it may not be what holds: add behind it, whatever that is
		d.texts[file] = ended(text) + variable + `="$` + variable + " " + grub.QuoteIn('"', more) + "\"\n"
	default:
		d.texts[file] = a.Insert(text, more, kernelopts)
	}
	return nil
}

// line is text that ends with a line break, if it is not empty.
func line(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return text + "\n"
	}
	return text
}

// ended is text whose last command is at its end, even where a backslash would continue that line.
func ended(text string) string {
	text = line(text)
	body := strings.TrimSuffix(text, "\n")
	if backslashes := len(body) - len(strings.TrimRight(body, `\`)); backslashes%2 == 1 {
		text += "\n"
	}
	return text
}

// repairKernelopts writes the backslash that old images forgot, without which the shell expands
// $kernelopts to nothing.
func (d *defaults) repairKernelopts() {
	for _, name := range d.names {
		text := d.texts[name]
		for i, found := 0, d.assignments(name); i < len(found); i++ {
			a := found[len(found)-1-i] // from the end, so that places stay right
			if a.Name != everyEntry && a.Name != normalEntry {
				continue
			}
			for j := len(a.Value) - 1; j >= 0; j-- {
				if g := a.Value[j]; g.Quote != '\'' {
					text = text[:g.Start] + exposedKernelopts.ReplaceAllString(text[g.Start:g.End], `$1\$2`) + text[g.End:]
				}
			}
		}
		d.texts[name] = text
	}
}

// edits are the files that changed.
func (d *defaults) edits() (edits []edit) {
	for _, name := range d.names {
		if d.texts[name] != d.old[name] {
			edits = append(edits, edit{name, d.texts[name], 0o644})
		}
	}
	return edits
}
