package efi

import (
	"cmp"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Level is the least generation of each component that shim starts (shim's SBAT.md).
type Level struct {
	Date string            // of the revocations
	Min  map[string]uint64 // by component
}

// ReadLevels reads what a shim revokes by itself, and what it would revoke if it were asked to: section .sbatlevel is a
// version, then two offsets, from their own begin, of texts.
func ReadLevels(r io.ReaderAt) (automatic, latest *Level, err error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, nil, err
	}
	s := f.Section(".sbatlevel")
	if s == nil || s.Size > maxSection {
		return nil, nil, nil
	}
	data, err := s.Data()
	if err != nil || len(data) < 12 {
		return nil, nil, err
	}
	text := func(at int) *Level {
		from := uint64(binary.LittleEndian.Uint32(data[at:])) + 4
		if from >= uint64(len(data)) {
			return nil
		}
		t, _, _ := strings.Cut(string(data[from:]), "\x00")
		return parseLevel(t)
	}
	return text(4), text(8), nil
}

func parseLevel(text string) *Level {
	l := &Level{Min: map[string]uint64{}}
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			continue
		}
		l.Min[fields[0]] = n
		if fields[0] == "sbat" && len(fields) > 2 {
			l.Date = fields[2]
		}
	}
	return l
}

// Revokes says why a shim with these revocations does not start a program; empty where it does.
func (l *Level) Revokes(p *Program) string {
	if l == nil {
		return ""
	}
	if len(p.SBAT) == 0 {
		return "it has no section .sbat, without which shim starts nothing"
	}
	for _, s := range p.SBAT {
		min, known := l.Min[s.Component]
		if have, err := strconv.ParseUint(s.Generation, 10, 32); known && (err != nil || have < min) {
			return fmt.Sprintf("its component %s is of generation %s, and shim starts those from %d on (revocations of %s)", s.Component, cmp.Or(s.Generation, "none"), min, l.Date)
		}
	}
	return ""
}
