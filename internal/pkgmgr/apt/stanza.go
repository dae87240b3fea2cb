package apt

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// stanza is what matters here of one package in an index or in dpkg's database. Its fields are gone when
// the next one is read.
type stanza struct {
	name, version, arch, provides, status, sum, size, maintainer []byte
}

var stanzaFields = []struct {
	key []byte
	of  func(*stanza) *[]byte
}{
	{[]byte("Package:"), func(s *stanza) *[]byte { return &s.name }},
	{[]byte("Version:"), func(s *stanza) *[]byte { return &s.version }},
	{[]byte("Architecture:"), func(s *stanza) *[]byte { return &s.arch }},
	{[]byte("Provides:"), func(s *stanza) *[]byte { return &s.provides }},
	{[]byte("Status:"), func(s *stanza) *[]byte { return &s.status }},
	{[]byte("SHA256:"), func(s *stanza) *[]byte { return &s.sum }},
	{[]byte("Installed-Size:"), func(s *stanza) *[]byte { return &s.size }},
	{[]byte("Maintainer:"), func(s *stanza) *[]byte { return &s.maintainer }},
}

// longest is how much of a line counts. The longest that are needed are lists of what is provided.
const longest = 1 << 20

// eachStanza reads deb822 text of any length and calls use for every package in it.
func eachStanza(r io.Reader, use func(*stanza)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var s stanza
	var current *[]byte
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		ended := !errors.Is(err, bufio.ErrBufferFull)
		text := part
		if !ended || len(line) > 0 { // rare: a line longer than the buffer
			line = append(line, part[:min(len(part), longest-len(line))]...)
			text = line
		}
		if !ended {
			continue
		}
		current = s.take(bytes.TrimRight(text, "\r\n"), current, use)
		line = line[:0]
		if err != nil {
			s.end(use)
			return nil
		}
	}
}

// take reads one line, and returns the field that the next one may go on with.
func (s *stanza) take(text []byte, current *[]byte, use func(*stanza)) *[]byte {
	if len(bytes.TrimSpace(text)) == 0 {
		s.end(use)
		return nil
	}
	if text[0] == ' ' || text[0] == '\t' {
		if current != nil && len(*current)+len(text) <= longest {
			*current = append(*current, text...)
		}
		return current
	}
	for _, f := range stanzaFields {
		if bytes.HasPrefix(text, f.key) {
			field := f.of(s)
			*field = append((*field)[:0], bytes.TrimSpace(text[len(f.key):])...)
			return field
		}
	}
	return nil
}

func (s *stanza) end(use func(*stanza)) {
	if len(s.name) > 0 {
		use(s)
	}
	for _, f := range stanzaFields {
		field := f.of(s)
		*field = (*field)[:0]
	}
}

// installed tells whether dpkg's database says that the package is there as a whole.
func (s *stanza) installed() bool { return bytes.HasSuffix(s.status, []byte(" installed")) }
