package grub

import "strings"

// LoaderWord is how GRUB writes a word of its linux command for the kernel (its
// grub_create_loader_cmdline): quoted where it holds a space, with a backslash before quotes and
// backslashes but those of \xHH.
func LoaderWord(word string) string {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if strings.IndexByte(`\'"`, word[i]) >= 0 && !hexEscape.MatchString(word[i:]) {
			b.WriteByte('\\')
		}
		b.WriteByte(word[i])
	}
	if strings.Contains(word, " ") {
		return `"` + b.String() + `"`
	}
	return b.String()
}
