package app

import (
	"fmt"
	"strings"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/plan"
)

// located says in a failure where in the config its step is asked for.
func located(f *failure.Failure, c *compose.Result) {
	if f.Path == "" {
		return
	}
	at := c.Place(f.Path)
	where := fmt.Sprintf("%s stands in %s, line %d", f.Path, at.File(), at.Line())
	if at.Said() {
		where = "asked for by " + at.File()
	}
	if f.Hint != "" {
		where = f.Hint + "; " + where
	}
	f.Hint = where
}

// refuse says in a failure why a config cannot be carried out on this image: all reasons at once, each at its
// place in the config where it has one.
func refuse(f *failure.Failure, report *config.Report, place func(path string) *config.At, problems []plan.Problem) {
	report.Forget()
	var plain []string
	for _, p := range problems {
		if p.Path != "" {
			e := place(p.Path).Errorf("%s", p.Text)
			if p.Hint != "" {
				e.Hint("%s", p.Hint)
			}
			continue
		}
		line := p.Step + ": " + p.Text
		if p.Hint != "" {
			line += "\nhint: " + p.Hint
		}
		plain = append(plain, "  "+strings.ReplaceAll(line, "\n", "\n      "))
	}
	text := "the config cannot be carried out on this image:"
	if err := report.Err(); err != nil {
		text += "\n" + err.Error()
	}
	if len(plain) > 0 {
		text += "\n" + strings.Join(plain, "\n")
	}
	for _, cause := range failure.Causes(f.Err) {
		if cause.Kind == failure.Refused {
			cause.Text = text
		}
	}
}
