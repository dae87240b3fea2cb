package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// entry is a boot loader entry file (Boot Loader Specification, type 1): lines of a key, blanks and
// a value.
type entry struct {
	file  string
	lines []string
}

func (e entry) values(key string) (values []string) {
	for _, l := range e.lines {
		if k, v := keyValue(l); k == key {
			values = append(values, v)
		}
	}
	return values
}

func keyValue(line string) (key, value string) {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t")
	if i < 0 || strings.HasPrefix(line, "#") {
		return "", ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// entries reads the entries but those for rescue.
func entries(files Files) ([]entry, error) {
	var found []entry
	kernels := map[string]string{}
	for _, f := range list(files, entriesDir, ".conf") {
		text, err := files.ReadFile(f)
		if err != nil {
			return nil, err
		}
		e := entry{f, strings.SplitAfter(string(text), "\n")}
		if recovery(strings.Join(e.values("title"), " ")) {
			continue
		}
		for _, key := range []string{"efi", "uki", "uki-url"} {
			if len(e.values(key)) > 0 {
				return nil, fmt.Errorf("%s boots an EFI program (key %q), whose arguments cannot be edited", f, key)
			}
		}
		for _, k := range e.values("linux") {
			if other := kernels[k]; other != "" {
				return nil, fmt.Errorf("%s and %s are for the same kernel, %s", other, f, k)
			}
			kernels[k] = f
		}
		found = append(found, e)
	}
	return found, nil
}

func entryLines(files Files) (lines []bootLine, err error) {
	list, err := entries(files)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		l := bootLine{file: e.file, number: 1, text: strings.Join(e.values("options"), " ")}
		if l.args, err = SplitArgs(l.text); err != nil {
			return nil, fmt.Errorf("%s: %w", e.file, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// editEntries adds arguments to every entry, and to what the entries of later kernels will be made
// from.
func editEntries(files Files, args []string) error {
	list, err := entries(files)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := e.add(files, args); err != nil {
			return err
		}
	}
	if err := editCmdlineFile(files, args); err != nil {
		return err
	}
	if _, err := files.ReadFile(defaultsFile); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return editDefaults(files, args)
}

func (e entry) add(files Files, args []string) error {
	have, err := SplitArgs(strings.Join(e.values("options"), " "))
	if err != nil {
		return fmt.Errorf("%s: %w", e.file, err)
	}
	more := missingPlain(have, args)
	if more == "" {
		return nil
	}
	last := -1
	for i, l := range e.lines {
		if k, _ := keyValue(l); k == "options" {
			last = i
		}
	}
	if last < 0 {
		if n := len(e.lines); n > 0 && e.lines[n-1] != "" && !strings.HasSuffix(e.lines[n-1], "\n") {
			e.lines[n-1] += "\n"
		}
		e.lines = append(e.lines, "options "+more+"\n")
	} else {
		body := strings.TrimRight(e.lines[last], " \t\r\n")
		e.lines[last] = body + " " + more + e.lines[last][len(body):]
	}
	return files.WriteFile(e.file, []byte(strings.Join(e.lines, "")), 0o644)
}

func missingPlain(have, args []string) string {
	var more []string
	for _, a := range args {
		if !slices.Contains(have, a) {
			more = append(more, plainArg(a))
		}
	}
	return strings.Join(more, " ")
}

// editCmdlineFile keeps kernel-install's arguments for later kernels in step, where it has some.
func editCmdlineFile(files Files, args []string) error {
	const name = "/etc/kernel/cmdline"
	text, err := files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := SplitArgs(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	more := missingPlain(have, args)
	if more == "" {
		return nil
	}
	return files.WriteFile(name, []byte(strings.TrimSpace(strings.TrimSpace(string(text))+" "+more)+"\n"), 0o644)
}
