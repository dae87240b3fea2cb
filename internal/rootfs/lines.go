package rootfs

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
)

// EditLines rewrites a text file line by line; it must exist. The function returns a line's new text and whether it stays.
func (r *Root) EditLines(name string, edit func(line string) (string, bool)) error {
	data, err := r.ReadFile(name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for line := range strings.Lines(string(data)) {
		body := strings.TrimSuffix(line, "\n")
		if text, keep := edit(body); keep {
			b.WriteString(text + "\n")
		}
	}
	if bytes.Equal(b.Bytes(), data) {
		return nil
	}
	return r.WriteFile(name, b.Bytes(), 0o644)
}

// DropLine removes a line from a text file, which may not exist.
func (r *Root) DropLine(name, line string) error {
	err := r.EditLines(name, func(l string) (string, bool) { return l, strings.TrimSpace(l) != line })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
