// Package config is the YAML engine: it decodes a file strictly into Go types and reports everything
// that is wrong with it at once, each problem with its place and what to write instead.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

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

// kind is 0 for an error, 1 for a warning.
func (p Problem) kind() int {
	if p.Warning {
		return 1
	}
	return 0
}

// Report collects the problems of a config and the files it names.
type Report struct {
	problems []*Problem
	seen     map[Problem]bool    // those, without paths
	broken   map[spot]bool       // places at or below which there is an error
	found    int                 // problems so far, those among them that are not kept
	kept     [2]int              // how many errors and warnings are kept: warnings leave no errors out
	more     [2]int              // how many are not
	sources  map[string][]string // lines of each file

	indexes map[*yaml.Node]map[string]int // of large mappings: where each key is

	secrets  []secret
	hidden   map[*yaml.Node]bool     // values that are among these
	suspects map[string][]*yaml.Node // by file: values below keys that may be delicate
	cleared  map[*yaml.Node]bool     // of these, those that are none
}

// spot is a path in a file.
type spot struct{ file, path string }

// Bounds on what is kept and shown of the problems of a file that is wrong throughout.
const (
	maxKept  = 1000 // of errors, and of warnings
	maxShown = 100
)

// NewReport is a report without problems, of the files that are to be parsed into it.
func NewReport() *Report {
	return &Report{
		seen: map[Problem]bool{}, broken: map[spot]bool{}, sources: map[string][]string{},
		indexes: map[*yaml.Node]map[string]int{},
		hidden:  map[*yaml.Node]bool{}, suspects: map[string][]*yaml.Node{}, cleared: map[*yaml.Node]bool{},
	}
}

// add notes a problem, once: what is found in a file is found again in what the file is a part of, on another path.
func (r *Report) add(p *Problem) *Entry {
	r.found++
	for path := p.Path; !p.Warning; {
		r.broken[spot{p.File, path}] = true
		if path == "" {
			break
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	same := *p
	same.Path = ""
	kind := p.kind()
	switch {
	case r.seen[same]:
	case r.kept[kind] >= maxKept:
		r.more[kind]++
	default:
		r.kept[kind]++
		r.seen[same] = true
		r.problems = append(r.problems, p)
	}
	return &Entry{p}
}

// full tells whether no more errors are kept, so that hints about them are for nobody.
func (r *Report) full() bool { return r.kept[0] >= maxKept }

// Problems lists the problems in the order of their places, without secrets.
func (r *Report) Problems() []Problem {
	var list []Problem
	m := r.mask()
	for _, p := range r.problems {
		shown := *p
		shown.Message, shown.Hint = brief(m.text(p.Message)), brief(m.text(p.Hint))
		list = append(list, shown)
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return list
}

// Failed tells whether the config must be refused.
func (r *Report) Failed() bool {
	return r.more[0] > 0 || slices.ContainsFunc(r.problems, func(p *Problem) bool { return !p.Warning })
}

// Add reports a problem of something that is no file, such as a flag.
func (r *Report) Add(where, format string, args ...any) *Entry {
	return r.add(&Problem{File: where, Message: fmt.Sprintf(format, args...)})
}

// Warn reports something about what is no file, which is no reason to refuse the config.
func (r *Report) Warn(where, format string, args ...any) *Entry {
	return r.add(&Problem{File: where, Message: fmt.Sprintf(format, args...), Warning: true})
}

// Forget drops the problems found so far, so that those of a later look are shown alone.
func (r *Report) Forget() {
	r.problems, r.seen, r.broken, r.more = nil, map[Problem]bool{}, map[spot]bool{}, [2]int{}
	r.kept = [2]int{}
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
	m := r.mask()
	var number [2]int // of each kind, so that warnings leave no errors out
	left := r.more
	for _, p := range r.Problems() {
		if number[p.kind()]++; number[p.kind()] > maxShown {
			left[p.kind()]++
			continue
		}
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
			text := clip(m.line(p.File, p.Line, lines[p.Line-1]), &p)
			fmt.Fprintf(w, "%s%s\n%*s%s\n", margin, printable.Aligned(text), len(margin), "", paint("31;1", underline(text, p)))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "        hint: %s\n", printable.Text(p.Hint))
		}
	}
	if left[0]+left[1] > 0 {
		fmt.Fprintf(w, "and %d more errors and %d more warnings, which are not shown\n", left[0], left[1])
	}
}

// maxWidth is the longest part of a line that is shown, in characters.
const maxWidth = 1000

// brief is a message that is not made too long by what it quotes.
func brief(text string) string {
	if len(text) <= 2*maxWidth {
		return text
	}
	return strings.ToValidUTF8(text[:maxWidth], "") + " ... " + strings.ToValidUTF8(text[len(text)-maxWidth:], "")
}

// clip is the part of a line that a problem is in, where it is too long to be shown. The problem's columns become those in it.
func clip(line string, p *Problem) string {
	runes := []rune(line)
	if len(runes) <= maxWidth {
		return line
	}
	from := max(0, min(p.Column-maxWidth/3, len(runes)-maxWidth))
	shown := string(runes[from:min(from+maxWidth, len(runes))])
	if from+maxWidth < len(runes) {
		shown += "..."
	}
	if from > 0 {
		shown, from = "..."+shown, from-3
	}
	p.Column, p.EndColumn = p.Column-from, min(p.EndColumn-from, maxWidth)
	return shown
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

// nearest returns the candidate that a misspelled word most likely means, or "": one of nearly the same letters, or the
// only one that begins with it.
func nearest(word string, candidates []string) string {
	if near := similar(word, candidates); near != "" || len(word) < shortestBegin {
		return near
	}
	longer := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !strings.HasPrefix(strings.ToLower(c), strings.ToLower(word)) })
	if len(longer) != 1 {
		return ""
	}
	return longer[0]
}

// shortestBegin is how many letters of a name can stand for it.
const shortestBegin = 4

// similar is the candidate of nearly the same letters, or "".
func similar(word string, candidates []string) string {
	best, bestDistance, lower := "", 1+max(1, len(word)/3), strings.ToLower(word)
	for _, c := range candidates {
		if strings.EqualFold(c, word) {
			return c
		}
		if d := len(word) - len(c); max(d, -d) >= bestDistance {
			continue // so many letters more, or less
		}
		if d := distance(lower, strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of letters to change, add, leave out or swap with their neighbour.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				change = min(change, before[j-2]+1)
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
