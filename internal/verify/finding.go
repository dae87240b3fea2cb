package verify

import (
	"cmp"
	"fmt"
	"strings"
)

// Finding is one thing that is wrong.
type Finding struct {
	Check   string `json:"check"`          // the check that found it
	File    string `json:"file,omitempty"` // in the image
	Line    int    `json:"line,omitempty"` // from 1; 0 where no line is meant
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitempty"` // the system boots all the same
	Lags    bool   `json:"-"`                 // it boots what was there before: no run may leave it so
	More    int    `json:"more,omitempty"`    // how many more the check found, which are not told; this one stands for them
}

// String is the finding in one line, with its place.
func (f Finding) String() string {
	switch {
	case f.File == "":
		return f.Text
	case f.Line == 0:
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// key tells whether two findings are the same. Lines move.
func (f Finding) key() Finding {
	if f.More > 0 {
		return Finding{Check: f.Check, More: 1}
	}
	return Finding{Check: f.Check, File: f.File, Text: f.Text}
}

// New returns what must keep an image from being handed out: what was not found before in the base
// image. Whatever is wrong with that is no fault of the run, and who wants to customize it can. known
// are the findings to warn of: what is still wrong, and new ones that keep nothing from booting.
func New(before, after []Finding) (wrong, known []Finding) {
	old := map[Finding]Finding{}
	for _, f := range before {
		old[f.key()] = f
	}
	for _, f := range after {
		was, is := old[f.key()]
		is = is && f.More <= was.More // one more may be anything
		switch {
		case f.Lags && !is:
			wrong = append(wrong, f)
		case f.Warning && is: // nobody need hear of it again
		case f.Warning || is:
			known = append(known, f)
		default:
			wrong = append(wrong, f)
		}
	}
	return wrong, known
}

// Limits on what a check tells: an image can have any number of things that are wrong, of any length.
const (
	mostFindings = 100
	longestText  = 1000 // bytes
)

// list collects the findings of a check, each once.
type list struct {
	check string
	items []Finding
	seen  map[Finding]bool
	more  Finding  // stands for those that are too many
	last  *Finding // that was added; nil where it was not
}

func newList(check string) *list { return &list{check: check, seen: map[Finding]bool{}} }

// all are the findings.
func (l *list) all() []Finding {
	if l.more.More == 0 {
		return l.items
	}
	l.more.Text = fmt.Sprintf("and %d more of this kind (%s)", l.more.More, l.check)
	return append(l.items, l.more)
}

func (l *list) add(f Finding) {
	f.Check, f.File, f.Text = cmp.Or(f.Check, l.check), clip(f.File), clip(f.Text)
	l.last = nil
	switch {
	case l.seen[f.key()]:
	case len(l.items) == mostFindings:
		if l.more.More++; l.more.More == 1 {
			l.more.Check, l.more.Warning = f.Check, true
		}
		l.more.Warning, l.more.Lags = l.more.Warning && f.Warning, l.more.Lags || f.Lags
	default:
		l.seen[f.key()] = true
		l.items = append(l.items, f)
		l.last = &l.items[len(l.items)-1]
	}
}

func clip(text string) string {
	if len(text) <= longestText {
		return text
	}
	return strings.ToValidUTF8(text[:longestText], "") + " ..."
}

// at notes what is wrong with a line of a file.
func (l *list) at(file string, line int, format string, args ...any) {
	l.add(Finding{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// warn is at for what keeps no system from booting.
func (l *list) warn(file string, line int, format string, args ...any) {
	l.add(Finding{File: file, Line: line, Text: fmt.Sprintf(format, args...), Warning: true})
}

// hint says what to do about the last finding.
func (l *list) hint(format string, args ...any) {
	if l.last != nil {
		l.last.Hint = clip(fmt.Sprintf(format, args...))
	}
}
