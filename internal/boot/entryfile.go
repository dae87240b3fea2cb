package boot

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
)

// entry is a boot loader entry file (Boot Loader Specification, type 1): lines of a key, blanks and
// a value. Its lines are kept as they are.
type entry struct {
	file   string
	lines  []string // with their line breaks
	byGRUB bool     // read by GRUB's blscfg, which departs from the specification
}

func parseEntry(file, text string, byGRUB bool) entry {
	return entry{file, strings.SplitAfter(text, "\n"), byGRUB}
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
func (e entry) options() int {
	found := e.find("options")
	switch {
	case len(found) == 0:
		return -1
	case e.byGRUB:
		return found[0]
	}
	return found[len(found)-1]
}

// args are the arguments of the entry that its loader passes on.
func (e entry) args() (kargs.Cmdline, error) {
	text := strings.Join(e.values("options"), " ")
	if i := e.options(); e.byGRUB && i >= 0 {
		_, text = keyValue(e.lines[i])
	}
	args, err := kargs.Split(text)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.file, err)
	}
	return args, nil
}

// add puts the arguments that the entry lacks at the end of its options.
func (e entry) add(args []string) (entry, error) {
	have, err := e.args()
	if err != nil {
		return e, err
	}
	more, err := entryCarrier(e.byGRUB).Join(have.Missing(args))
	if err != nil || more == "" {
		return e, err
	}
	lines := append([]string(nil), e.lines...)
	if i := e.options(); i >= 0 {
		body := strings.TrimRight(lines[i], entryBlanks)
		lines[i] = body + " " + more + lines[i][len(body):]
		return entry{e.file, lines, e.byGRUB}, nil
	}
	options := "options "
	if e.byGRUB { // what GRUB uses for an entry without options
		options += "$default_kernelopts "
	}
	return parseEntry(e.file, line(e.text())+options+more+"\n", e.byGRUB), nil
}

func entryCarrier(byGRUB bool) kargs.Carrier {
	if byGRUB {
		return kargs.GRUBEntry
	}
	return kargs.Plain
}

// read is the entry as data. root is where the loader found the file, known are GRUB's variables.
func (e entry) read(root string, known variables) (Entry, error) {
	found := Entry{
		ID: strings.TrimSuffix(path.Base(e.file), ".conf"), Title: strings.Join(e.values("title"), " "), Version: strings.Join(e.values("version"), " "),
		File: e.file, Line: e.options() + 1, Text: strings.Join(e.values("options"), " "),
	}
	if !e.byGRUB {
		found.ID, found.Tries = EntryID(e.file)
	}
	found.Recovery = strings.Contains(strings.ToLower(found.Title), "rescue")
	ref := func(line int, name string) Ref {
		return Ref{File: e.file, Line: line + 1, Place: Place{root, name}}
	}
	for _, key := range []string{"uki-url", "uki", "efi", "linux"} {
		for _, i := range slices.Backward(e.find(key)) { // the first counts
			_, value := keyValue(e.lines[i])
			found.Kernel = ref(i, value)
			found.Unified = strings.HasPrefix(key, "uki") || key == "efi" && strings.Contains(value, "/EFI/Linux/")
		}
	}
	for _, line := range e.find("initrd") {
		_, value := keyValue(e.lines[line])
		for _, word := range strings.Fields(value) {
			if !strings.HasPrefix(word, "$") { // a further one, where the image sets the variable
				found.Initrds = append(found.Initrds, ref(line, word))
			}
		}
	}
	var err error
	found.Arguments, err = e.arguments(known)
	return found, err
}

func (e entry) bootsLinux() bool { return len(e.find("linux")) > 0 }

// arguments are those of the entry, with GRUB's variables in their place.
func (e entry) arguments(known variables) (found []Argument, err error) {
	raw, err := e.args()
	if err != nil {
		return nil, err
	}
	for _, a := range raw {
		at, args := Origin{File: e.file, Line: e.options() + 1}, []string{a}
		name := variableOf(a)
		if value, ok := known.values[name]; ok && e.byGRUB && name != "" {
			if args, err = kargs.Split(value); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", e.file, a, err)
			}
			at = known.from[name]
		}
		found = append(found, ArgumentsAt(args, at)...)
	}
	return found, nil
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

// keep returns the words of an options line that stay, as they are written.
func (r Change) keep(options string) (kept []string) {
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
