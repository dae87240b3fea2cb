// Package printable makes text that comes from an image, a config or a program harmless to the terminal it is
// printed on, and to the reader: nothing in it can command the terminal or hide what it says.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text shows characters that are not printable as escapes, in the form that JSON and Go read. Tabs and line ends
// stay. Bytes that are no UTF-8 become the replacement character.
func Text(text string) string {
	if strings.IndexFunc(text, hidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			b.WriteString(escaped(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Line is printable text on one line.
func Line(text string) string { return Text(strings.Join(strings.Fields(text), " ")) }

// Aligned is printable text with as many characters as before, so that marks below it still fit.
func Aligned(text string) string {
	return strings.Map(func(r rune) rune {
		if hidden(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// hidden tells whether a character is no letter, mark, number, punctuation, symbol or space: controls, those that
// turn the direction of text or have no width (category Cf of Unicode), line separators, and what is not assigned.
func hidden(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != utf8.RuneError }

func escaped(r rune) string {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return escaped(high) + escaped(low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Writer returns a writer that makes what is written to w printable. A character must not be split between calls.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

func (w writer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.to, Text(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}
