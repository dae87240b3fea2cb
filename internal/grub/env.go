package grub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	envHeader = "# GRUB Environment Block\n"
	envSize   = 1024 // bytes of a new block
)

// Env is GRUB's environment block (GRUB manual, "The GRUB environment block"): a header, lines
// NAME=value, and # up to a fixed size, which GRUB cannot change when it saves a variable at boot.
// In a value a backslash stands before each backslash and line break.
type Env struct {
	lines []string // as they are, comments too, without their line breaks
	size  int
}

// NewEnv returns an empty block.
func NewEnv() *Env { return &Env{size: envSize} }

// ParseEnv reads a block.
func ParseEnv(data []byte) (*Env, error) {
	body, ok := strings.CutPrefix(string(data), envHeader)
	if !ok {
		return nil, fmt.Errorf("the file is no GRUB environment block: it does not begin with %q", strings.TrimSpace(envHeader))
	}
	e := &Env{size: len(data)}
	padding := len(body) - len(strings.TrimRight(body, "#"))
	for len(body) > padding {
		end := lineEnd(body)
		e.lines = append(e.lines, body[:end])
		body = strings.TrimPrefix(body[end:], "\n")
	}
	return e, nil
}

// lineEnd is where the line ends; a line break behind a backslash belongs to a value.
func lineEnd(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			return i
		}
	}
	return len(text)
}

// Get returns a variable's value.
func (e *Env) Get(name string) (string, bool) {
	value, ok := e.Variables()[name]
	return value, ok
}

// Variables returns all variables.
func (e *Env) Variables() map[string]string {
	variables := map[string]string{}
	for _, l := range e.lines {
		if name, value, ok := strings.Cut(l, "="); ok && !strings.HasPrefix(l, "#") {
			variables[name] = unescapeEnv(value)
		}
	}
	return variables
}

func unescapeEnv(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// Set gives a variable a value, in its place where it is there.
func (e *Env) Set(name, value string) {
	l := name + "=" + strings.NewReplacer(`\`, `\\`, "\n", "\\\n").Replace(value)
	if i := e.index(name); i >= 0 {
		e.lines[i] = l
		return
	}
	e.lines = append(e.lines, l)
}

// Unset removes a variable.
func (e *Env) Unset(name string) {
	if i := e.index(name); i >= 0 {
		e.lines = slices.Delete(e.lines, i, i+1)
	}
}

// Line is the line of the block, from 1, that sets a variable last; 0 where none does.
func (e *Env) Line(name string) int {
	at, line := 0, 2 // behind the header
	for _, l := range e.lines {
		if strings.HasPrefix(l, name+"=") {
			at = line
		}
		line += 1 + strings.Count(l, "\n")
	}
	return at
}

func (e *Env) index(name string) int {
	return slices.IndexFunc(e.lines, func(l string) bool { return strings.HasPrefix(l, name+"=") })
}

// Bytes is the block as a file, of the size it was read with.
func (e *Env) Bytes() ([]byte, error) {
	text := envHeader
	for _, l := range e.lines {
		text += l + "\n"
	}
	if len(text) > e.size {
		return nil, errors.New("the variables do not fit into the GRUB environment block")
	}
	return []byte(text + strings.Repeat("#", e.size-len(text))), nil
}
