package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"imagecustomizer/internal/printable"
)

// style is how the terminal view looks.
type style struct {
	spinner       []string
	good, bad     string // marks of steps that ended
	full, empty   string // of bars
	ellipsis      string
	color         bool
	green, red    string
	dim, endColor string
}

// styleOf chooses characters by the locale and colours by wish.
func styleOf(env func(string) string, color bool) style {
	s := style{spinner: strings.Split(`|/-\`, ""), good: "ok", bad: "FAILED", full: "#", empty: "-", ellipsis: "..."}
	if isUTF8(env) {
		s = style{spinner: strings.Split("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", ""), good: "✓", bad: "✗", full: "█", empty: "░", ellipsis: "…"}
	}
	if color {
		s.color, s.green, s.red, s.dim, s.endColor = true, "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
	}
	return s
}

// isUTF8 reads the locale as setlocale(3) does: the first of these variables that is not empty counts.
func isUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// liveView draws a line for each running step at the bottom of a terminal, below everything that
// scrolls.
type liveView struct {
	out   io.Writer
	size  func() (width, height int)
	style style
	steps stepList
	drawn int // lines of the last drawing
	now   time.Time
}

func (v *liveView) interval() time.Duration { return 100 * time.Millisecond }

func (v *liveView) event(e Event) {
	v.steps.follow(e)
	s := v.style
	switch e.Kind {
	case Progress: // the next tick shows it: reports may come by the thousand
	case Done:
		v.redraw(e.Time, s.green+s.good+s.endColor+" "+ended(e)+"\n")
	case Fail:
		v.redraw(e.Time, s.red+s.bad+s.endColor+" "+ended(e)+"\n")
	default:
		v.redraw(e.Time, "")
	}
}

func ended(e Event) string {
	return fmt.Sprintf("%s (%s)", plainName(e.Step, e.Title), seconds(e.Elapsed))
}

func (v *liveView) text(b []byte) {
	text := string(b)
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	v.redraw(v.now, text)
}

func (v *liveView) said(line string) { v.steps.said(line) }

func (v *liveView) tick(now time.Time) {
	if len(v.steps) > 0 {
		v.redraw(now, "")
	}
}

// end forgets the running steps and leaves the cursor on an empty line.
func (v *liveView) end() {
	v.steps = nil
	v.redraw(v.now, "")
}

// redraw replaces the live lines, with text scrolling by above them, in one write.
func (v *liveView) redraw(now time.Time, text string) {
	if now.After(v.now) {
		v.now = now
	}
	var b strings.Builder
	if v.drawn > 1 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn-1)
	}
	if v.drawn > 0 {
		b.WriteString("\r\x1b[J")
	}
	b.WriteString(text)
	lines := v.lines()
	b.WriteString(strings.Join(lines, "\n"))
	v.drawn = len(lines)
	_, _ = io.WriteString(v.out, b.String())
}

// lines are the steps that run, as many of the last as the terminal has room for, and below the very last what a
// program of it says. One column stays free: a full line makes some terminals wrap.
func (v *liveView) lines() (lines []string) {
	columns, rows := v.size()
	for _, s := range v.steps {
		lines = append(lines, v.style.line(s, v.now, columns-1))
	}
	if n := len(v.steps); n > 0 && v.steps[n-1].said != "" && n < rows-1 {
		const indent = "           "
		said := v.style.cut(indent+v.steps[n-1].said, columns-1)
		lines = append(lines, v.style.dim+said+v.style.endColor)
	}
	return lines[max(0, len(lines)-max(1, rows-1)):]
}

// line is the live line of a step in at most that many columns: spinner, time, title and, for a copy,
// how far it is. In narrow terminals the bar goes first, then the bytes, then the end of the title.
func (s style) line(step *stepState, now time.Time, columns int) string {
	elapsed := now.Sub(step.start)
	tick := int(max(elapsed, 0)/(100*time.Millisecond)) % len(s.spinner)
	left := fmt.Sprintf("%s %6s ", s.spinner[tick], seconds(elapsed))
	const enoughTitle = 20
	title := printable.Line(step.title)
	right := ""
	for _, r := range s.progress(step) {
		if columns-columnsOf(left)-columnsOf(r) >= min(columnsOf(title), enoughTitle) {
			right = r
			break
		}
	}
	title = s.cut(title, columns-columnsOf(left)-columnsOf(right))
	line := s.cut(left+title+right, columns)
	if s.color && strings.HasPrefix(line, left) {
		line = s.dim + left + s.endColor + line[len(left):]
	}
	return line
}

// barWidth is the columns of a bar.
const barWidth = 20

// progress is how far a step is, from the most to the least detailed.
func (s style) progress(step *stepState) []string {
	p := step.percent()
	if p < 0 {
		return nil
	}
	full := p * barWidth / 100
	bar := strings.Repeat(s.full, full) + strings.Repeat(s.empty, barWidth-full)
	bytes := fmt.Sprintf(" %3d%% of %s", p, size(step.total))
	return []string{" [" + bar + "]" + bytes, bytes, fmt.Sprintf(" %3d%%", p)}
}

// cut shortens text to that many columns.
func (s style) cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	room := columns - columnsOf(s.ellipsis)
	mark := s.ellipsis
	if room < 0 {
		room, mark = columns, ""
	}
	for i, r := range text {
		if room -= columnsOfRune(r); room < 0 {
			return text[:i] + mark
		}
	}
	return text
}

func columnsOf(text string) (n int) {
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

// columnsOfRune is the cells a character takes: Unicode Annex 11, with combining marks taking none.
func columnsOfRune(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
