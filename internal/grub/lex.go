package grub

import (
	"errors"
	"fmt"
	"strings"
)

// lexer splits a GRUB script into tokens by the rules of GRUB's own lexer
// (grub-core/script/yylex.l). Carriage returns are dropped by GRUB when it reads a file.
type lexer struct {
	text  string
	pos   int
	line  int
	parts []part // of the word being read

	literal []byte // what will be its next part
	quoted  bool   // there is one, though it may be empty
}

func scan(text string) (found []token, err error) {
	l := &lexer{text: text, line: 1}
	for pieces := 0; l.pos < len(text); {
		if pieces > maxPieces {
			return nil, errTooMany
		}
		t := token{line: l.line, word: Word{Start: l.pos}}
		if t.kind, err = l.next(); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.line, err)
		}
		l.flush()
		t.word.End, t.word.parts = l.pos, l.parts
		pieces += 1 + len(l.parts)
		l.parts = nil
		l.line += strings.Count(text[t.word.Start:l.pos], "\n")
		found = append(found, t)
	}
	return found, nil
}

// maxPieces bounds what a script is taken apart to, which takes a hundred bytes for some of its. A menu of a
// hundred kernels has less than a twentieth of that; maxDepth is of blocks in blocks.
const (
	maxPieces = 1 << 19
	maxDepth  = 100
)

var errTooMany = fmt.Errorf("it has more than %d words and blanks: that is no configuration of GRUB", maxPieces)

const (
	blanks    = " \t\r"
	operators = "{}|&;<>"
)

// next moves behind the next token.
func (l *lexer) next() (tokenKind, error) {
	rest := l.text[l.pos:]
	switch c := rest[0]; {
	case strings.IndexByte(blanks, c) >= 0:
		l.pos += len(rest) - len(strings.TrimLeft(rest, blanks))
		return blankToken, nil
	case c == '\n':
		l.pos++
		return newlineToken, nil
	case c == '#':
		l.pos += len(strings.SplitN(rest, "\n", 2)[0])
		return commentToken, nil
	case strings.IndexByte(operators, c) >= 0:
		l.pos++
		if len(rest) > 1 && rest[1] == c && strings.IndexByte("|&;", c) >= 0 {
			l.pos++
		}
		return operatorToken, nil
	}
	return l.word()
}

// word reads a word: text, escapes, quoted strings and variables without anything between them.
func (l *lexer) word() (tokenKind, error) {
	continued := true // nothing but backslashes at the end of a line, which join lines
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		if strings.IndexByte(blanks+operators+"\n", c) >= 0 {
			break
		}
		before := len(l.parts) + len(l.literal)
		if err := l.piece(c); err != nil {
			return 0, err
		}
		if len(l.parts) > maxPieces {
			return 0, errTooMany
		}
		continued = continued && c == '\\' && len(l.parts)+len(l.literal) == before
	}
	if continued {
		return blankToken, nil
	}
	return wordToken, nil
}

func (l *lexer) piece(c byte) error {
	switch c {
	case '\'':
		return l.single()
	case '"':
		l.pos++
		return l.double()
	case '$':
		if strings.HasPrefix(l.text[l.pos:], `$"`) { // to be translated
			l.pos += 2
			return l.double()
		}
		return l.variable()
	case '\\':
		return l.escape()
	case '*', '?':
		l.add(string(c), patternPart)
	default:
		l.add(l.text[l.pos:l.pos+1], literalPart)
	}
	l.pos++
	return nil
}

// escape reads a backslash outside of quotes and what it escapes.
func (l *lexer) escape() error {
	if l.newlineAt(l.pos + 1) {
		l.pos += strings.IndexByte(l.text[l.pos:], '\n') + 1
		return nil
	}
	if l.pos+1 == len(l.text) {
		return errors.New("a backslash ends the file")
	}
	l.add(l.text[l.pos+1:l.pos+2], literalPart)
	l.pos += 2
	return nil
}

// newlineAt tells whether a line ends here.
func (l *lexer) newlineAt(at int) bool {
	return strings.HasPrefix(l.text[at:], "\n") || strings.HasPrefix(l.text[at:], "\r\n")
}

func (l *lexer) single() error {
	value, _, closed := strings.Cut(l.text[l.pos+1:], "'")
	if !closed {
		return errors.New("a single quote is not closed")
	}
	l.add(strings.ReplaceAll(value, "\r", ""), literalPart)
	l.pos += len(value) + 2
	return nil
}

// double reads what stands between double quotes, and the closing one. A backslash escapes only
// $, ", \ and the end of a line.
func (l *lexer) double() error {
	l.add("", literalPart)
	for l.pos < len(l.text) && len(l.parts) <= maxPieces {
		switch c := l.text[l.pos]; {
		case c == '"':
			l.pos++
			return nil
		case c == '$':
			if err := l.variable(); err != nil {
				return err
			}
			continue
		case c == '\\' && (l.newlineAt(l.pos+1) || l.pos+1 < len(l.text) && strings.IndexByte(`$"\`, l.text[l.pos+1]) >= 0):
			if err := l.escape(); err != nil {
				return err
			}
			continue
		case c != '\r':
			l.add(l.text[l.pos:l.pos+1], literalPart)
		}
		l.pos++
	}
	if len(l.parts) > maxPieces {
		return errTooMany
	}
	return errors.New("a double quote is not closed")
}

func (l *lexer) variable() error {
	name := variableName.FindString(l.text[l.pos:])
	if name == "" {
		return errors.New(`a $ begins no variable; write \$ for the character`)
	}
	l.add(strings.Trim(name, "${}"), variablePart)
	l.pos += len(name)
	return nil
}

// add appends to the word; text of a kind is kept in one part.
func (l *lexer) add(text string, kind partKind) {
	if kind == literalPart {
		l.literal, l.quoted = append(l.literal, text...), true
		return
	}
	l.flush()
	l.parts = append(l.parts, part{text, kind})
}

// flush makes a part of the text that was gathered.
func (l *lexer) flush() {
	if l.quoted {
		l.parts = append(l.parts, part{string(l.literal), literalPart})
	}
	l.literal, l.quoted = l.literal[:0], false
}
