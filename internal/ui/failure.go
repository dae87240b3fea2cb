package ui

import (
	"fmt"
	"io"
	"strings"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/printable"
)

// Describe is an error as people should read it. Where a command failed, its words and its last
// lines come after the message instead of in the middle of it.
func Describe(err error) string {
	var b strings.Builder
	for i, c := range failure.Causes(err) {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(c.Text)
		if c.Command != "" {
			b.WriteString("\ncommand: " + c.Command)
		}
		if len(c.Tail) > 0 {
			b.WriteString("\nits last lines:")
		}
		for _, l := range c.Tail {
			b.WriteString("\n    " + l)
		}
	}
	return b.String()
}

// Failure writes why a run failed, in which step, and what to do about it; step and hint may be empty.
func Failure(w io.Writer, err error, step, hint string) { renderFailure(w, err, step, hint, false) }

func renderFailure(w io.Writer, err error, step, hint string, color bool) {
	red, end := "", ""
	if color {
		red, end = "\x1b[1;31m", "\x1b[0m"
	}
	text := Describe(err)
	if step != "" {
		text = step + ": " + text
	}
	text = printable.Text(Redacted(text))
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
	_, _ = fmt.Fprintf(w, "%serror:%s %s\n", red, end, text)
	if hint != "" {
		_, _ = fmt.Fprintf(w, "  hint: %s\n", strings.ReplaceAll(printable.Text(Redacted(hint)), "\n", "\n        "))
	}
}
