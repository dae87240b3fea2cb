package boot

import (
	"slices"
	"strings"
)

// linuxCommands are GRUB's commands that load a Linux kernel.
var linuxCommands = []string{"linux", "linuxefi", "linux16"}

// kernelWords returns the words of a line that loads a kernel, or nil.
func kernelWords(line string) []word {
	words := grubWords(line)
	if len(words) < 2 || !slices.Contains(linuxCommands, words[0].value) || strings.Contains(words[1].value, "memtest") {
		return nil
	}
	return words
}

// recovery tells whether a menu entry is one for mending a system, which keeps its own arguments.
func recovery(line string) bool {
	l := strings.ToLower(line)
	return strings.Contains(l, "recovery") || strings.Contains(l, "rescue")
}

// configLines finds the kernel lines of the normal entries of a grub.cfg.
func configLines(file, text string) (lines []bootLine) {
	number, inRecovery := 0, false
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(strings.TrimSpace(line), "menuentry ") {
			inRecovery = recovery(line)
		}
		words := kernelWords(line)
		if words == nil || inRecovery {
			continue
		}
		l := bootLine{file: file, number: number, text: line}
		for _, w := range words[2:] {
			l.args = append(l.args, w.value)
		}
		lines = append(lines, l)
	}
	return lines
}

// editConfig adds arguments to the kernel lines of a hand-written grub.cfg.
func editConfig(files Files, file string, args []string) error {
	text, err := files.ReadFile(file)
	if err != nil {
		return err
	}
	var b strings.Builder
	inRecovery := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "menuentry ") {
			inRecovery = recovery(line)
		}
		body := strings.TrimRight(line, "\r\n")
		if words := kernelWords(body); words != nil && !inRecovery {
			line = insertArgs(body, words, args) + line[len(body):]
		}
		b.WriteString(line)
	}
	return files.WriteFile(file, []byte(b.String()), 0o600)
}

// insertArgs puts the arguments that a kernel line lacks before its $kernelopts, or at its end.
func insertArgs(line string, words []word, args []string) string {
	at := words[len(words)-1].end
	suffix := ""
	for _, w := range words[2:] {
		if w.raw == "$kernelopts" || w.raw == "${kernelopts}" {
			at, suffix = w.start, " "
		}
	}
	var missing []string
	for _, a := range args {
		if !slices.ContainsFunc(words[2:], func(w word) bool { return w.value == a }) {
			missing = append(missing, grubArg(a))
		}
	}
	if len(missing) == 0 {
		return line
	}
	text := strings.Join(missing, " ")
	if suffix == "" {
		text = " " + text
	}
	return line[:at] + text + suffix + line[at:]
}
