// Package grub reads and writes what GRUB reads: its scripts, its environment block, the shell files that
// grub-mkconfig makes a script from, and its images for BIOS. What it does not change stays byte for byte.
package grub

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	hexEscape    = regexp.MustCompile(`^\\x[0-9A-Fa-f]{2}`)
	variableName = regexp.MustCompile(`^\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#*@]|\{(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#*@])\})`)
)

// Script is a GRUB script (GRUB manual, "Writing full configuration files directly"), taken apart
// as far as finding and editing its commands needs. Its text is kept as it is.
type Script struct {
	Text     string
	Commands []*Command
	tokens   []token
}

// Command is one simple command of a script.
type Command struct {
	Words []Word
	Line  int      // from 1
	Entry *Command // the menuentry or submenu it stands in; nil outside of any
}

// Word is one word of a script.
type Word struct {
	Start, End int // in bytes of the script's text
	parts      []part
}

// part is a piece of a word: text without quotes and escapes, or the name of a variable.
type part struct {
	text string
	kind partKind
}

type partKind int

const (
	literalPart partKind = iota
	patternPart          // an unquoted * or ?, which GRUB may expand to file names
	variablePart
)

// Literal tells whether GRUB expands nothing in the word.
func (w Word) Literal() bool {
	return !slices.ContainsFunc(w.parts, func(p part) bool { return p.kind != literalPart })
}

// Value is the word without quotes and escapes; variables stand there as ${NAME}.
func (w Word) Value() string {
	return w.render(func(name string) string { return "${" + name + "}" })
}

// Expand is the word with the values of these variables in it; others are empty, as for GRUB.
func (w Word) Expand(variables map[string]string) string {
	return w.render(func(name string) string { return variables[name] })
}

// longestWord bounds what variables make of a word, in bytes: each may hold others twice.
const longestWord = 64 << 10

func (w Word) render(variable func(name string) string) string {
	var b strings.Builder
	for _, p := range w.parts {
		if p.kind == variablePart {
			if p.text = variable(p.text); b.Len()+len(p.text) > longestWord {
				p.text = ""
			}
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// Variables are the names of the variables in the word.
func (w Word) Variables() (names []string) {
	for _, p := range w.parts {
		if p.kind == variablePart {
			names = append(names, p.text)
		}
	}
	return names
}

// Name is the command's name: its first word.
func (c *Command) Name() string { return c.Words[0].Value() }

// Find returns the commands of these names, wherever they stand.
func (s *Script) Find(names ...string) (found []*Command) {
	for _, c := range s.Commands {
		if slices.Contains(names, c.Name()) {
			found = append(found, c)
		}
	}
	return found
}

// Linux returns all commands that load a Linux kernel.
func (s *Script) Linux() (found []*Command) {
	for _, c := range s.Find("linux", "linuxefi", "linux16") {
		if len(c.Words) > 1 && !strings.Contains(c.Words[1].Value(), "memtest") {
			found = append(found, c)
		}
	}
	return found
}

// Recovery tells whether a command stands in an entry for mending a system, which keeps its own
// arguments. Titles are translated, the identifiers that grub-mkconfig gives are not.
func (c *Command) Recovery() bool {
	for e := c.Entry; e != nil; e = e.Entry {
		for _, w := range e.Words {
			if v := strings.ToLower(w.Value()); strings.Contains(v, "recovery") || strings.Contains(v, "rescue") {
				return true
			}
		}
	}
	return false
}

// Args are the words of a kernel command that are arguments of the kernel.
func (c *Command) Args() []Word { return c.Words[2:] }

// tokenKind is the kind of a piece of a script.
type tokenKind int

const (
	blankToken tokenKind = iota
	commentToken
	operatorToken
	newlineToken
	wordToken
)

// token is a piece of a script; the tokens of a script, one after the other, are its text.
type token struct {
	kind tokenKind
	line int
	word Word // with its place, whatever the kind; its parts for a word
}

// Parse takes a GRUB script apart. Text that GRUB would refuse is an error.
func Parse(text string) (*Script, error) {
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	p := scriptParser{text: text}
	for _, t := range tokens {
		if err := p.take(t); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.line, err)
		}
	}
	p.end()
	if len(p.blocks) > 0 {
		return nil, errors.New("a { is not closed")
	}
	return &Script{text, p.commands, tokens}, nil
}

// Words returns the words of a text that must be words only.
func Words(text string) (words []Word, err error) {
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		switch t.kind {
		case blankToken:
		case wordToken:
			words = append(words, t.word)
		default:
			return nil, fmt.Errorf("GRUB would take %q for the end of a command or a comment", text[t.word.Start:t.word.End])
		}
	}
	return words, nil
}

type scriptParser struct {
	text     string
	commands []*Command
	current  *Command
	blocks   []*Command // entry that each open { belongs to or stands in
}

func (p *scriptParser) take(t token) error {
	raw := p.text[t.word.Start:t.word.End]
	switch {
	case t.kind == wordToken:
		p.word(t, raw)
	case t.kind == newlineToken:
		p.end()
	case t.kind == operatorToken && raw == "{" && len(p.blocks) == maxDepth:
		return fmt.Errorf("blocks stand in blocks %d deep: that is no configuration of GRUB", maxDepth)
	case t.kind == operatorToken && raw == "{":
		p.blocks = append(p.blocks, p.opens())
		p.end()
	case t.kind == operatorToken && raw == "}":
		p.end()
		if len(p.blocks) == 0 {
			return errors.New("a } without a {")
		}
		p.blocks = p.blocks[:len(p.blocks)-1]
	case t.kind == operatorToken:
		p.end()
	}
	return nil
}

// leading are the reserved words that a command may follow on the same line.
var leading = []string{"if", "elif", "while", "until", "then", "else", "do", "!"}

func (p *scriptParser) word(t token, raw string) {
	if p.current == nil {
		if slices.Contains(leading, raw) {
			return
		}
		p.current = &Command{Line: t.line, Entry: p.entry()}
	}
	p.current.Words = append(p.current.Words, t.word)
}

// opens is the entry that a { opens, or the one that it stands in.
func (p *scriptParser) opens() *Command {
	if p.current != nil && slices.Contains([]string{"menuentry", "submenu"}, p.current.Name()) {
		return p.current
	}
	return p.entry()
}

func (p *scriptParser) entry() *Command {
	if len(p.blocks) == 0 {
		return nil
	}
	return p.blocks[len(p.blocks)-1]
}

func (p *scriptParser) end() {
	if p.current != nil {
		p.commands = append(p.commands, p.current)
	}
	p.current = nil
}
