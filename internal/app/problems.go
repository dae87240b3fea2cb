package app

import (
	"errors"
	"strings"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/plan"
)

// refusal is the failure that shows why a config cannot be carried out on this image: all reasons at
// once, each at its place in the config where it has one.
func refusal(c *compose.Result, code int, problems []plan.Problem) *Failure {
	c.Report.Forget()
	var plain []string
	for _, p := range problems {
		if p.Path != "" {
			e := c.Place(p.Path).Errorf("%s", p.Text)
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
	if err := c.Report.Err(); err != nil {
		text += "\n" + err.Error()
	}
	if len(plain) > 0 {
		text += "\n" + strings.Join(plain, "\n")
	}
	return &Failure{Code: code, Err: errors.New(text)}
}
