package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
)

// entry is a boot loader entry file (Boot Loader Specification, type 1): lines of a key, blanks and
// a value. Its lines are kept as they are.
type entry struct {
	file  string
	lines []string // with their line breaks
}

func parseEntry(file, text string) entry {
	return entry{file, strings.SplitAfter(text, "\n")}
}

func (e entry) text() string { return strings.Join(e.lines, "") }

// find returns the numbers, from 0, of the lines with this key.
func (e entry) find(key string) (numbers []int) {
	for i, l := range e.lines {
		if k, _ := keyValue(l); k == key {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

func (e entry) values(key string) (values []string) {
	for _, i := range e.find(key) {
		_, v := keyValue(e.lines[i])
		values = append(values, v)
	}
	return values
}

// entryBlanks are what systemd takes for blanks around keys and values.
const entryBlanks = " \t\r\n"

func keyValue(line string) (key, value string) {
	line = strings.Trim(line, entryBlanks)
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.Trim(line[i:], entryBlanks)
	}
	return line, ""
}

// options is the number of the line whose options count. By the specification all lines together
// do; GRUB's blscfg reads the first only. -1 where there is none.
func (e entry) options(byGRUB bool) int {
	found := e.find("options")
	switch {
	case len(found) == 0:
		return -1
	case byGRUB:
		return found[0]
	}
	return found[len(found)-1]
}

// args are the arguments of the entry that its loader passes on.
func (e entry) args(byGRUB bool) (kargs.Cmdline, error) {
	text := strings.Join(e.values("options"), " ")
	if i := e.options(byGRUB); byGRUB && i >= 0 {
		_, text = keyValue(e.lines[i])
	}
	args, err := kargs.Split(text)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.file, err)
	}
	return args, nil
}

// add puts the arguments that the entry lacks at the end of its options.
func (e entry) add(args []string, byGRUB bool) (entry, error) {
	have, err := e.args(byGRUB)
	if err != nil {
		return e, err
	}
	more, err := entryCarrier(byGRUB).Join(have.Missing(args))
	if err != nil || more == "" {
		return e, err
	}
	lines := append([]string(nil), e.lines...)
	if i := e.options(byGRUB); i >= 0 {
		body := strings.TrimRight(lines[i], entryBlanks)
		lines[i] = body + " " + more + lines[i][len(body):]
		return entry{e.file, lines}, nil
	}
	options := "options "
	if byGRUB { // what GRUB uses for an entry without options
		options += "$default_kernelopts "
	}
	return parseEntry(e.file, line(e.text())+options+more+"\n"), nil
}

func entryCarrier(byGRUB bool) kargs.Carrier {
	if byGRUB {
		return kargs.GRUBEntry
	}
	return kargs.Plain
}

// readEntries reads the entries of a folder that boot a kernel of this system, but those for rescue. Several may
// boot the same one: with debugging, from a snapshot, left by another machine identifier.
func readEntries(files Files, dir string) (found []entry, err error) {
	programs := ""
	for _, f := range list(files, dir, ".conf") {
		text, err := files.ReadFile(f)
		if err != nil {
			return nil, err
		}
		e := parseEntry(f, string(text))
		switch {
		case strings.Contains(strings.ToLower(strings.Join(e.values("title"), " ")), "rescue"):
		case len(e.find("linux")) > 0:
			found = append(found, e)
		case len(e.find("uki")) > 0 || len(e.find("uki-url")) > 0 || strings.Contains(strings.Join(e.values("efi"), " "), "/EFI/Linux/"):
			return nil, fmt.Errorf("%s boots a unified kernel image, whose arguments cannot be edited", f)
		default:
			programs = f
		}
	}
	if len(found) == 0 && programs != "" {
		return nil, fmt.Errorf("%s boots an EFI program, whose arguments cannot be edited, and no other entry boots Linux", programs)
	}
	return ownOf(files, found, func(e entry) string { return e.values("linux")[0] }), nil
}

const kernelCmdline = "/etc/kernel/cmdline"

// entryEdits adds arguments to every entry, and to what the entries of later kernels are made
// from: /etc/kernel/cmdline and, where GRUB makes them, /etc/default/grub.
func entryEdits(files Files, s Scheme, args, drop []string) (edits []edit, err error) {
	found, err := readEntries(files, s.Entries)
	if err != nil {
		return nil, err
	}
	shared := ""
	if s.grub() && slices.ContainsFunc(found, entry.shares) {
		if edits, shared, err = sharedEdits(files, s.Config, addShared(args)); err != nil {
			return nil, err
		}
	}
	for _, e := range found {
		own := args
		if shared != "" && e.shares() {
			have, err := entryArgs(e, map[string]string{sharedName: shared}, true)
			if err != nil {
				return nil, err
			}
			own = have.Missing(args)
		}
		changed, err := e.add(own, s.grub())
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit{e.file, changed.text(), 0o644})
	}
	later, err := cmdlineEdit(files, args, s.grub())
	if err != nil || !s.grub() {
		return append(edits, later...), err
	}
	_, mkconfig := mkconfigProgram(files, s.Config)
	d, err := readDefaults(files, mkconfig)
	if err != nil {
		return nil, err
	}
	if len(d.old) > 0 {
		d.remove(drop)
		err = d.add(args)
	}
	return append(append(edits, later...), d.edits()...), err
}

func cmdlineEdit(files Files, args []string, byGRUB bool) ([]edit, error) {
	text, err := files.ReadFile(kernelCmdline)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	have, err := kargs.Split(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kernelCmdline, err)
	}
	more, err := entryCarrier(byGRUB).Join(kargs.Cmdline(have).Missing(args))
	if err != nil || more == "" {
		return nil, err
	}
	body := strings.TrimRight(string(text), " \t\r\n")
	if body != "" {
		more = " " + more
	}
	return []edit{{kernelCmdline, body + more + "\n", 0o644}}, nil
}
