// Package secret holds what must not get into an image, its history, logs or caches: what a secret may be, in which forms
// it would show, and the search for these.
//
// Whoever takes a secret of a config (a password, the passphrase of a key) declares the field with the tag
// secret:"true": then variables of the type secret can stand in it, nothing shows it, and the value is in the decoded
// config when a run begins. Nothing else is needed; the finished image is searched for it by itself.
package secret

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Secret is a secret of a run.
type Secret struct {
	Name    string   // of the variable
	Value   string   // never empty
	MayBeIn []string // files of the image that may hold it, by absolute paths
}

// Shortest is the least number of bytes of a secret that can be told from what is in any image.
const Shortest = 8

// Longest is the most bytes that a secret may have: keys have some thousand.
const Longest = 64 << 10

// WithoutLineBreak is what a file or program that holds a secret says, without the line break at its end, which editors and
// programs add.
func WithoutLineBreak(text string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
}

// Check says why a text cannot be a secret. It does not show the text.
func Check(text string, allowShort bool) error {
	switch {
	case text == "":
		return errors.New("it is empty")
	case len(text) > Longest:
		return fmt.Errorf("it has %d bytes, and at most %d are searched for", len(text), Longest)
	case strings.Trim(text, " \t\r\n") == "":
		return errors.New("there is nothing in it but spaces and line breaks")
	case len(text) < Shortest && !allowShort:
		return fmt.Errorf("it has less than %d bytes, which could be in any image by chance: use a longer one, or declare allowShort: true", Shortest)
	}
	return nil
}

// Doubtful says what of a secret may not be meant, or "".
func Doubtful(text string) string {
	switch {
	case strings.HasPrefix(text, "\ufeff"):
		return "it begins with a byte order mark"
	case !strings.Contains(strings.TrimRight(text, " \t\r\n"), "\n") && strings.TrimSpace(text) != text:
		return "it begins or ends with a space or line break"
	case strings.Contains(text, "\x00") && utf8.ValidString(text):
		return "it holds a zero byte"
	}
	return ""
}
