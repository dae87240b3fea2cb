package boot

import (
	"errors"
	"strings"
)

// SplitArgs takes a kernel command line apart as the kernel does (Documentation/admin-guide/
// kernel-parameters.rst): at spaces outside of double quotes. The quotes are not part of an argument.
func SplitArgs(text string) ([]string, error) {
	var args []string
	var b strings.Builder
	inWord, quoted := false, false
	for _, c := range text {
		switch {
		case c == '"':
			quoted, inWord = !quoted, true
		case (c == ' ' || c == '\t' || c == '\n') && !quoted:
			if inWord {
				args = append(args, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteRune(c)
			inWord = true
		}
	}
	if quoted {
		return nil, errors.New("a double quote is not closed")
	}
	if inWord {
		args = append(args, b.String())
	}
	return args, nil
}

// plainArg writes an argument for a carrier that hands it to the kernel as it is: quoted only where
// it holds a space, behind the equals sign.
func plainArg(arg string) string {
	if !strings.ContainsAny(arg, " \t") {
		return arg
	}
	if key, value, ok := strings.Cut(arg, "="); ok && !strings.ContainsAny(key, " \t") {
		return key + `="` + value + `"`
	}
	return `"` + arg + `"`
}

// grubSpecial are the characters that mean something in a word of a GRUB script (GRUB manual,
// "Quoting").
const grubSpecial = " \t'\"\\$;&|<>{}#()"

// grubArg writes an argument as one word of a GRUB script.
func grubArg(arg string) string {
	if !strings.ContainsAny(arg, grubSpecial) {
		return arg
	}
	if !strings.Contains(arg, "'") {
		return "'" + arg + "'"
	}
	var b strings.Builder
	for _, c := range arg {
		if strings.ContainsRune(grubSpecial, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// word is one word of a GRUB script line.
type word struct {
	start, end int    // in bytes
	value      string // without quotes and escapes
	raw        string
}

// grubWords splits a line of a GRUB script into words. Variables are left as they are written.
func grubWords(line string) (words []word) {
	var b strings.Builder
	start, quote := -1, byte(0)
	end := func(i int) {
		if start >= 0 {
			words = append(words, word{start, i, b.String(), line[start:i]})
			b.Reset()
			start = -1
		}
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			end(i)
			continue
		case quote == 0 && c == '#' && start < 0:
			return words
		}
		if start < 0 {
			start = i
		}
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		default:
			b.WriteByte(c)
		}
	}
	end(len(line))
	return words
}
