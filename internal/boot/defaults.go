package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

const (
	defaultsFile = "/etc/default/grub"
	defaultsDir  = "/etc/default/grub.d"
)

// Variables of /etc/default/grub (GRUB manual, "Simple configuration"). The first is for every
// entry, the second for all but recovery entries.
const (
	everyEntry   = "GRUB_CMDLINE_LINUX"
	normalEntry  = "GRUB_CMDLINE_LINUX_DEFAULT"
	kernelOptsRe = `\\?\$\{?kernelopts\}?`
)

// editDefaults adds arguments to the file that decides them. On Azure Linux that is the variable
// that ends in $kernelopts, before it; elsewhere the one for every entry, because an argument that
// the kernel needs is needed for recovery too.
func editDefaults(files Files, args []string) error {
	names := append([]string{defaultsFile}, list(files, defaultsDir, ".cfg")...)
	variable := everyEntry
	for _, n := range names {
		text, err := files.ReadFile(n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if a := lastAssignment(string(text), normalEntry); a != nil && regexp.MustCompile(kernelOptsRe).MatchString(a.value) {
			variable = normalEntry
		}
	}
	file := effective(files, names, variable)
	text, err := files.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	edited, err := addToVariable(string(text), variable, args)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return files.WriteFile(file, []byte(edited), 0o644)
}

// effective is the last file that sets the variable; files of the folder are read after the main one.
func effective(files Files, names []string, variable string) string {
	for _, n := range slices.Backward(names) {
		if text, err := files.ReadFile(n); err == nil && lastAssignment(string(text), variable) != nil {
			return n
		}
	}
	return defaultsFile
}

// assignment is one line VARIABLE=value of a shell file.
type assignment struct {
	start, end int    // of the value, quotes included, in bytes of the text
	quote      byte   // " or ' or 0
	value      string // between the quotes, as written
}

// lastAssignment finds the assignment that holds at the end of the file.
func lastAssignment(text, variable string) (last *assignment) {
	re := regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?` + variable + `\+?=`)
	for _, m := range re.FindAllStringIndex(text, -1) {
		if a := valueAt(text, m[1]); a != nil {
			last = a
		}
	}
	return last
}

// valueAt reads a shell word that begins at an offset: one quoted string, or a bare word.
func valueAt(text string, at int) *assignment {
	if at < len(text) && (text[at] == '"' || text[at] == '\'') {
		quote := text[at]
		for i := at + 1; i < len(text); i++ {
			switch {
			case text[i] == '\\' && quote == '"':
				i++
			case text[i] == quote:
				return &assignment{at, i + 1, quote, text[at+1 : i]}
			}
		}
		return nil
	}
	end := at
	for end < len(text) && !strings.ContainsRune(" \t\r\n;#", rune(text[end])) {
		end++
	}
	return &assignment{at, end, 0, text[at:end]}
}

// addToVariable adds arguments to a variable, which is made where it is missing.
func addToVariable(text, variable string, args []string) (string, error) {
	a := lastAssignment(text, variable)
	if a == nil {
		if regexp.MustCompile(`(?m)^[ \t]*` + variable + `\+?=`).MatchString(text) {
			return "", fmt.Errorf("the value of %s has no closing quote", variable)
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + variable + `="` + joinShell("", args) + "\"\n", nil
	}
	value := a.value
	if a.quote == '\'' { // continue in double quotes, in which every argument can be written
		value = shellQuote(value)
	}
	return text[:a.start] + `"` + joinShell(value, args) + `"` + text[a.end:], nil
}

// joinShell adds arguments to a value written in double quotes, before $kernelopts where it has
// that. The value becomes text of a GRUB script, so an argument is a word of that first.
func joinShell(value string, args []string) string {
	have := grubWords(shellUnquote(value))
	var missing []string
	for _, a := range args {
		if !slices.ContainsFunc(have, func(w word) bool { return w.value == a }) {
			missing = append(missing, shellQuote(grubArg(a)))
		}
	}
	// $kernelopts is for GRUB to expand, not for the shell; old images forgot the backslash.
	if m := regexp.MustCompile(kernelOptsRe).FindStringIndex(value); m != nil {
		return strings.Join(append(words(value[:m[0]]), append(missing, `\$kernelopts`+value[m[1]:])...), " ")
	}
	return strings.Join(append(words(value), missing...), " ")
}

// words is a value as one element of a list, or none where it is blank.
func words(value string) []string {
	if strings.TrimSpace(value) == "" {
		return nil
	}
	return []string{strings.TrimRight(value, " ")}
}

// shellQuote writes text for the inside of double quotes of a shell.
func shellQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s)
}

// shellUnquote undoes shellQuote; variables stay as they are written.
func shellUnquote(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(s)
}
