package grub

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Assignment is one VARIABLE=value of a shell file that stays when its command has ended.
type Assignment struct {
	Name        string
	Add         bool // written with +=
	Value       []Segment
	Start, End  int  // of the value in the file's text, quotes included
	Conditional bool // in an if, a loop, a function, a subshell, or behind && or ||
}

// Segment is a piece of a shell word between quotes of one kind, or without any.
type Segment struct {
	Start, End int  // in the file's text, without the quotes
	Quote      byte // ', " or 0
}

var (
	assigned      = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(\+?)=`)
	shellVariable = regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)
)

const (
	shellBlanks    = " \t\r"
	shellOperators = ";&|()<>\n"
)

// shellScanner finds the assignments of a shell file (POSIX, "Shell Command Language").
type shellScanner struct {
	text    string
	pos     int
	depth   int          // open if, case, loops, { and (
	chained bool         // behind && or || or |
	leading []Assignment // of the command being read
	command string       // its first word that assigns nothing
	found   []Assignment
}

// Assignments lists the assignments of a shell file, in their order.
func Assignments(text string) ([]Assignment, error) {
	s := &shellScanner{text: text}
	for s.pos < len(text) {
		switch c := text[s.pos]; {
		case strings.IndexByte(shellBlanks, c) >= 0:
			s.pos++
		case c == '#':
			s.pos += len(strings.SplitN(text[s.pos:], "\n", 2)[0])
		case strings.IndexByte(shellOperators, c) >= 0:
			s.operator(c)
		default:
			if err := s.word(); err != nil {
				return nil, fmt.Errorf("line %d: %w", 1+strings.Count(text[:s.pos], "\n"), err)
			}
		}
	}
	s.end()
	return s.found, nil
}

func (s *shellScanner) operator(c byte) {
	s.pos++
	switch c {
	case '<', '>': // the command goes on behind a redirection
		return
	case '(':
		s.depth++
	}
	s.end()
	if c == ')' && s.depth > 0 {
		s.depth--
	}
	s.chained = c == '|' || c == '&' && s.pos < len(s.text) && (s.text[s.pos] == '&' || s.chained)
}

// end ends a command. Assignments before a command's name hold for that command only.
func (s *shellScanner) end() {
	if s.command == "" || s.command == "export" || s.command == "readonly" {
		s.found = append(s.found, s.leading...)
	}
	s.leading, s.command = nil, ""
}

func (s *shellScanner) word() error {
	start := s.pos
	var segments []Segment
	for s.pos < len(s.text) && strings.IndexByte(shellBlanks+shellOperators, s.text[s.pos]) < 0 {
		g, err := s.segment()
		if err != nil {
			return err
		}
		segments = append(segments, g)
	}
	raw := s.text[start:s.pos]
	m := assigned.FindStringSubmatch(raw)
	switch {
	case m != nil && (s.command == "" || s.command == "export" || s.command == "readonly"):
		if segments[0].Start += len(m[0]); segments[0].Start == segments[0].End {
			segments = segments[1:]
		}
		s.leading = append(s.leading, Assignment{m[1], m[2] != "", segments, start + len(m[0]), s.pos, s.depth > 0 || s.chained})
	case s.command == "":
		s.keyword(raw)
	}
	return nil
}

// keyword follows the nesting. Behind some reserved words a command begins.
func (s *shellScanner) keyword(word string) {
	switch word {
	case "if", "while", "until", "{":
		s.depth++
	case "for", "case":
		s.depth++
		s.command = word
	case "fi", "done", "esac", "}":
		s.depth = max(0, s.depth-1)
	case "then", "else", "elif", "do", "!":
	default:
		s.command = word
	}
}

// segment reads up to the next change of quotes.
func (s *shellScanner) segment() (Segment, error) {
	g := Segment{Start: s.pos}
	if q := s.text[s.pos]; q == '\'' || q == '"' {
		g.Quote = q
		s.pos++
		g.Start++
	}
	for ; s.pos < len(s.text); s.pos++ {
		c := s.text[s.pos]
		switch {
		case g.Quote != 0 && c == g.Quote:
			g.End = s.pos
			s.pos++
			return g, nil
		case g.Quote == 0 && strings.IndexByte(shellBlanks+shellOperators+`'"`, c) >= 0:
			g.End = s.pos
			return g, nil
		case g.Quote != '\'' && strings.IndexByte("\\$`", c) >= 0:
			if err := s.special(); err != nil {
				return g, err
			}
		}
	}
	if g.End = s.pos; g.Quote != 0 {
		return g, fmt.Errorf("the quote %c is not closed", g.Quote)
	}
	return g, nil
}

// special moves to the last byte of an escape, a substitution or a variable.
func (s *shellScanner) special() error {
	rest := s.text[s.pos:]
	switch {
	case strings.HasPrefix(rest, `\`):
		s.pos = min(s.pos+1, len(s.text)-1)
	case strings.HasPrefix(rest, "`"):
		return s.skipTo("`")
	case strings.HasPrefix(rest, "$("):
		return s.skipPair('(', ')')
	case strings.HasPrefix(rest, "${"):
		return s.skipPair('{', '}')
	}
	return nil
}

func (s *shellScanner) skipTo(closing string) error {
	i := strings.Index(s.text[s.pos+1:], closing)
	if i < 0 {
		return fmt.Errorf("%s is not closed", closing)
	}
	s.pos += 1 + i
	return nil
}

func (s *shellScanner) skipPair(opening, closing byte) error {
	for i, open := s.pos+1, 0; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\':
			i++
		case opening == '(' && (c == '\'' || c == '"'): // quotes in a command hide its parentheses
			quoted := shellScanner{text: s.text, pos: i}
			if _, err := quoted.segment(); err != nil {
				return err
			}
			i = quoted.pos - 1
		case c == opening:
			open++
		case c == closing:
			if open--; open == 0 {
				s.pos = i
				return nil
			}
		}
	}
	return errors.New("a substitution is not closed")
}

// Evaluate is the value that the shell gives the variable. What a command would print is unknown
// here, and taken for nothing.
func (a Assignment) Evaluate(text string, variables map[string]string) string {
	var b strings.Builder
	if a.Add {
		b.WriteString(variables[a.Name])
	}
	for _, g := range a.Value {
		if g.Quote == '\'' {
			b.WriteString(text[g.Start:g.End])
			continue
		}
		g.evaluate(&b, text[:g.End], variables)
	}
	return b.String()
}

func (g Segment) evaluate(b *strings.Builder, text string, variables map[string]string) {
	for s := (&shellScanner{text: text, pos: g.Start}); s.pos < len(text); s.pos++ {
		at := s.pos
		switch c := text[at]; {
		case c == '\\' && at+1 < len(text) && (g.Quote == 0 || strings.IndexByte("$`\"\\\n", text[at+1]) >= 0):
			if s.pos++; text[s.pos] != '\n' {
				b.WriteByte(text[s.pos])
			}
		case c == '$' && shellVariable.MatchString(text[at:]):
			m := shellVariable.FindStringSubmatch(text[at:])
			b.WriteString(variables[m[1]+m[2]])
			s.pos += len(m[0]) - 1
		case c == '`' || strings.HasPrefix(text[at:], "$(") || strings.HasPrefix(text[at:], "${"):
			if s.special() != nil {
				return // cannot be: the scanner found the end before
			}
		default:
			b.WriteByte(c)
		}
	}
}

// QuoteIn writes text for the inside of quotes of this kind; without quotes it brings its own.
func QuoteIn(quote byte, text string) string {
	switch quote {
	case '\'':
		return strings.ReplaceAll(text, "'", `'\''`)
	case '"':
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(text)
	}
	return `"` + QuoteIn('"', text) + `"`
}

// wordEnds tells whether a word written behind the text is one of its own. A blank behind a backslash
// may be part of a word.
func wordEnds(text string) bool {
	word := strings.TrimRight(text, " \t")
	return text == "" || word != text && !strings.HasSuffix(word, `\`)
}

// Insert returns the file's text with more at the end of the value, or before the place that the
// pattern matches in it. Only what is between the two is changed.
func (a Assignment) Insert(text, more string, before *regexp.Regexp) string {
	so := "" // the value so far
	if a.Add {
		so = "what is added to"
	}
	for _, g := range a.Value {
		if m := before.FindStringIndex(text[g.Start:g.End]); m != nil {
			at := g.Start + m[0]
			if so += text[g.Start:at]; !wordEnds(so) {
				more = " " + more
			}
			return text[:at] + QuoteIn(g.Quote, more+" ") + text[at:]
		}
		so += text[g.Start:g.End]
	}
	if !wordEnds(so) {
		more = " " + more
	}
	if len(a.Value) == 0 {
		return text[:a.Start] + QuoteIn(0, more) + text[a.End:]
	}
	last := a.Value[len(a.Value)-1]
	raw := text[last.Start:last.End]
	switch {
	case last.Quote != 0:
		return text[:last.End] + QuoteIn(last.Quote, more) + text[last.End:]
	case len(a.Value) == 1 && !slices.ContainsFunc([]byte(raw), func(c byte) bool { return c == '\\' || c == '`' || c == '~' }):
		return text[:a.Start] + `"` + raw + QuoteIn('"', more) + `"` + text[a.End:]
	}
	return text[:a.End] + QuoteIn(0, more) + text[a.End:]
}
