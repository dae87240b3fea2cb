// Package kargs takes kernel command lines apart and writes them, for each place that they are written to.
package kargs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/grub"
)

// Cmdline is a kernel command line, taken apart. An argument is a name, or a name, an equals sign
// and a value, without the double quotes that keep blanks together.
type Cmdline []string

// Has tells whether an argument of this name is there. As for the kernel, hyphens and underscores
// in names are the same.
func (c Cmdline) Has(key string) bool {
	return slices.ContainsFunc(c, func(a string) bool { return Name(a) == Name(key) })
}

// Add returns the command line with the arguments that it lacks at its end. For each name the
// values are compared in their order, since for most names the last one holds: what c already ends
// with is not added again, so that adding the same twice changes nothing.
func (c Cmdline) Add(args ...string) Cmdline {
	return slices.Concat(c, c.Missing(args))
}

// Set returns the command line with the argument as the only one of its name.
func (c Cmdline) Set(arg string) Cmdline { return append(c.Remove(Name(arg)), arg) }

// Remove returns the command line without the arguments of this name.
func (c Cmdline) Remove(key string) Cmdline {
	return slices.DeleteFunc(slices.Clone(c), func(a string) bool { return Name(a) == Name(key) })
}

// Missing returns the arguments that must be added for c to end, name by name, with args.
func (c Cmdline) Missing(args []string) (missing []string) {
	done := map[string]int{} // name: how many of its arguments were seen in args
	for _, a := range args {
		key := Name(a)
		if done[key] >= overlap(c.of(key), Cmdline(args).of(key)) {
			missing = append(missing, a)
		}
		done[key]++
	}
	return missing
}

func (c Cmdline) of(key string) (args []string) {
	for _, a := range c {
		if Name(a) == key {
			args = append(args, a)
		}
	}
	return args
}

// overlap is the length of the longest end of have that want begins with.
func overlap(have, want []string) int {
	for n := min(len(have), len(want)); ; n-- {
		if slices.Equal(have[len(have)-n:], want[:n]) {
			return n
		}
	}
}

// Name is the name of an argument. As for the kernel, hyphens and underscores in it are the same.
func Name(arg string) string {
	key, _, _ := strings.Cut(arg, "=")
	return strings.ReplaceAll(key, "-", "_")
}

// Literal are the kernel arguments that no variable decides, as they arrive at the kernel.
func Literal(words []grub.Word) (args Cmdline) {
	for _, w := range words {
		if !w.Literal() {
			continue
		}
		arrives, err := kernelSplit(grub.LoaderWord(w.Value()))
		if err != nil {
			arrives = []string{w.Value()}
		}
		args = append(args, arrives...)
	}
	return args
}

// Split takes a kernel command line apart as the kernel does (Documentation/admin-guide/
// kernel-parameters.rst; next_arg in lib/cmdline.c): at blanks outside of double quotes. Quotes
// around an argument or its value are not part of it.
func Split(text string) ([]string, error) {
	return splitAt(text, func(c byte) bool { return strings.IndexByte(" \t\n\v\f\r", c) >= 0 })
}

// kernelSplit also splits where the kernel does by surprise: its table of characters is Latin-1,
// so that the byte 0xA0, which ends the UTF-8 form of à, is a blank.
func kernelSplit(text string) ([]string, error) {
	return splitAt(text, func(c byte) bool { return strings.IndexByte(" \t\n\v\f\r\xa0", c) >= 0 })
}

func splitAt(text string, blank func(byte) bool) (args []string, err error) {
	for at := 0; ; {
		for at < len(text) && blank(text[at]) {
			at++
		}
		if at == len(text) {
			return args, nil
		}
		end, quoted := at, false
		for ; end < len(text) && (quoted || !blank(text[end])); end++ {
			if text[end] == '"' {
				quoted = !quoted
			}
		}
		if quoted {
			return nil, errors.New("a double quote is not closed")
		}
		if a := Unquote(text[at:end]); a != "" {
			args = append(args, a)
		}
		at = end
	}
}

// Unquote drops the quotes of a word that the kernel drops: one at its beginning, one at the
// beginning of its value, and, where there was either, one at the end.
func Unquote(word string) string {
	word, outer := strings.CutPrefix(word, `"`)
	key, value, _ := strings.Cut(word, "=")
	value, inner := strings.CutPrefix(value, `"`)
	if inner = inner && key != ""; inner {
		word = key + "=" + value
	}
	if outer || inner {
		word = strings.TrimSuffix(word, `"`)
	}
	return word
}

// Carrier is a place that kernel arguments are written to.
type Carrier struct {
	name  string
	forms func(arg string) []string // ways to write an argument, the plainest first
	reads []func(text string) ([]string, error)
}

var (
	// Plain text goes to the kernel as it is: /etc/kernel/cmdline, and boot entries read by systemd-boot.
	Plain = Carrier{"a kernel command line", plainForms, []func(string) ([]string, error){kernelSplit}}
	// GRUBScript is the line of a linux command.
	GRUBScript = Carrier{"GRUB", grubForms, []func(string) ([]string, error){throughGrub}}
	// GRUBEntry is a boot entry that GRUB reads: plain text by its specification, which GRUB takes
	// into a script. It must mean the same to both.
	GRUBEntry = Carrier{"a boot entry read by GRUB", plainForms, []func(string) ([]string, error){kernelSplit, throughGrub}}
)

func plainForms(arg string) []string {
	key, value, _ := strings.Cut(arg, "=")
	return []string{arg, key + `="` + value + `"`, `"` + arg + `"`}
}

func grubForms(arg string) []string {
	return []string{arg, "'" + arg + "'", `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(arg) + `"`}
}

// Write returns the plainest form in which the argument arrives at the kernel exactly. That is
// tried on every reader of the carrier, with an argument behind it, which it must not swallow.
func (c Carrier) Write(arg string) (string, error) {
	const next = "x"
	if strings.ContainsAny(arg, "\n\x00") {
		return "", fmt.Errorf("the kernel argument %q holds a line break or a null byte, which ends it", arg)
	}
	for _, form := range c.forms(arg) {
		arrives := true
		for _, read := range c.reads {
			got, err := read(form + " " + next)
			arrives = arrives && err == nil && slices.Equal(got, []string{arg, next})
		}
		if arrives {
			return form, nil
		}
	}
	return "", fmt.Errorf("the kernel argument %s cannot be passed on exactly by %s: %s", arg, c.name, c.obstacle(arg))
}

func (c Carrier) obstacle(arg string) string {
	switch {
	case c.name != Plain.name && strings.ContainsAny(arg, `'"\`):
		return `GRUB puts a backslash before every quote and backslash (only \x and two hexadecimal digits pass); write it without`
	case c.name == GRUBEntry.name && strings.Contains(arg, "$"):
		return "GRUB takes $ in boot entries for a variable; write it without"
	case strings.Contains(arg, `"`):
		return "the kernel has no way to write a double quote there; write it without"
	}
	return "the kernel would take it apart, or join it to the next; use printable ASCII characters"
}

// Join writes arguments, separated by spaces, so that each arrives at the kernel exactly.
func (c Carrier) Join(args []string) (string, error) {
	words := make([]string, 0, len(args))
	for _, a := range args {
		w, err := c.Write(a)
		if err != nil {
			return "", err
		}
		words = append(words, w)
	}
	return strings.Join(words, " "), nil
}

// throughGrub is what the kernel makes of the words of a GRUB linux command.
func throughGrub(text string) ([]string, error) {
	words, err := grub.Words(text)
	if err != nil {
		return nil, err
	}
	var line []string
	for _, w := range words {
		if !w.Literal() {
			return nil, fmt.Errorf("GRUB would expand %s", text[w.Start:w.End])
		}
		line = append(line, grub.LoaderWord(w.Value()))
	}
	return kernelSplit(strings.Join(line, " "))
}
