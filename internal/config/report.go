// Package config is the YAML engine: it decodes a file strictly into Go types and reports everything
// that is wrong with it at once, each problem with its place and what to write instead.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"imagecustomizer/internal/printable"
)

// Problem is one thing wrong with a config file.
type Problem struct {
	Path      string // such as os.users[2].name
	File      string
	Line      int // from 1
	Column    int // from 1, in characters
	EndColumn int // behind the last character of the offending text
	Message   string
	Hint      string // what to do; may be empty
	Warning   bool   // worth saying, but no reason to refuse the file
}

// Report collects the problems of a config and the files it names.
type Report struct {
	problems []*Problem
	sources  map[string][]string // lines of each file
	secrets  []secret
}

// secret is a text that is never shown, and where it stands.
type secret struct {
	text         string
	file         string
	line, column int
}

// tooShort is the length up to which a secret is masked only where it stands: it is part of other words.
const tooShort = 3

// Problems lists the problems in the order of their places, each once: what is found in a file is found again in
// what the file is a part of, on another path.
func (r *Report) Problems() []Problem {
	var list []Problem
	seen := map[Problem]bool{}
	for _, p := range r.problems {
		same := *p
		same.Path = ""
		if !seen[same] {
			list = append(list, *p)
		}
		seen[same] = true
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return list
}

// Failed tells whether the config must be refused.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.problems, func(p *Problem) bool { return !p.Warning })
}

// Add reports a problem of something that is no file, such as a flag.
func (r *Report) Add(where, format string, args ...any) *Entry {
	p := &Problem{File: where, Message: fmt.Sprintf(format, args...)}
	r.problems = append(r.problems, p)
	return &Entry{p}
}

// Forget drops the problems found so far, so that those of a later look are shown alone.
func (r *Report) Forget() { r.problems = nil }

// Secrets lists the texts that must not be shown.
func (r *Report) Secrets() (texts []string) {
	for _, s := range r.secrets {
		texts = append(texts, s.text)
	}
	return texts
}

// Err is nil, or an error that shows all problems.
func (r *Report) Err() error {
	if !r.Failed() {
		return nil
	}
	var b strings.Builder
	r.Render(&b, false)
	return errors.New(strings.TrimRight(b.String(), "\n"))
}

// Render writes every problem with the line it is on.
func (r *Report) Render(w io.Writer, color bool) {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for _, p := range r.Problems() {
		kind := paint("31;1", "error")
		if p.Warning {
			kind = paint("33;1", "warning")
		}
		where := printable.Line(p.File)
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d", where, p.Line, p.Column)
		}
		fmt.Fprintf(w, "%s: %s: %s\n", paint("1", where), kind, printable.Text(p.Message))
		if lines := r.sources[p.File]; p.Line > 0 && p.Line <= len(lines) {
			margin := fmt.Sprintf("%5d | ", p.Line)
			fmt.Fprintf(w, "%s%s\n%*s%s\n", margin, printable.Aligned(r.masked(p.File, p.Line)), len(margin), "", paint("31;1", underline(lines[p.Line-1], p)))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "        hint: %s\n", printable.Text(p.Hint))
		}
	}
}

// masked is a line with stars in the place of secrets.
func (r *Report) masked(file string, number int) string {
	line := r.sources[file][number-1]
	for _, s := range r.secrets {
		if s.file == file && s.line == number {
			line = starred(line, s)
		}
	}
	for _, s := range r.secrets {
		if n := utf8.RuneCountInString(s.text); n > tooShort || s.line == 0 && strings.TrimSpace(line) == s.text {
			line = strings.ReplaceAll(line, s.text, strings.Repeat("*", n))
		}
	}
	return line
}

// scalar matches where one stands: its anchor and tag, and what is between its quotes, where it has any.
var scalar = regexp.MustCompile(`^((?:[&!]\S*\s+)*)(?:"((?:\\.|[^"\\])*)|'((?:''|[^'])*))?`)

// starred puts stars over the secret where it stands, whatever way it is quoted.
func starred(line string, s secret) string {
	runes := []rune(line)
	before := string(runes[:min(s.column-1, len(runes))])
	rest := line[len(before):]
	m := scalar.FindStringSubmatchIndex(rest)
	from, to := m[3], m[3]+len(s.text)
	if quoted := max(m[4], m[6]); quoted >= 0 {
		from, to = quoted, max(m[5], m[7])
	}
	to = min(to, len(rest))
	return before + rest[:from] + strings.Repeat("*", utf8.RuneCountInString(rest[from:to])) + rest[to:]
}

// underline marks the columns of a problem; tabs are kept, so that the marks stay below the text.
func underline(line string, p Problem) string {
	var b strings.Builder
	column := 0
	for _, c := range line {
		if column++; column >= p.Column {
			break
		}
		if c == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	width := min(p.EndColumn, utf8.RuneCountInString(line)+1) - p.Column
	b.WriteString(strings.Repeat("^", max(1, width)))
	return b.String()
}

// DidYouMean is the hint for a word that is none of the names, or otherwise where none is near.
func DidYouMean(word string, names []string, otherwise string) string {
	if near := nearest(word, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise
}

// nearest returns the candidate that a misspelled word most likely means, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if strings.EqualFold(c, word) {
			return c
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of letters to change, add, leave out or swap with their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				change = min(change, rows[i-2][j-2]+1)
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
		}
	}
	return rows[len(a)][len(b)]
}
