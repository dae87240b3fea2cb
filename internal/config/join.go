package config

import (
	"fmt"
	"maps"
	"slices"
)

// Join is what several reports say, each of what the same files come to in one of several ways, which have labels. What
// not all of them say has the label of the first that does.
func Join(reports []*Report, labels []string) *Report {
	out := NewReport()
	said := map[Problem][]int{}
	var order []Problem
	for i, r := range reports {
		maps.Copy(out.sources, r.sources)
		maps.Copy(out.hidden, r.hidden)
		maps.Copy(out.cleared, r.cleared)
		for file, nodes := range r.suspects {
			out.suspects[file] = append(out.suspects[file], nodes...)
		}
		out.secrets = append(out.secrets, r.secrets...)
		out.more[0], out.more[1] = max(out.more[0], r.more[0]), max(out.more[1], r.more[1])
		for _, p := range r.problems {
			if !slices.Contains(said[*p], i) {
				said[*p] = append(said[*p], i)
			}
			if len(said[*p]) == 1 {
				order = append(order, *p)
			}
		}
	}
	for _, p := range order {
		if by := said[p]; len(by) == len(reports) || labels[by[0]] == "" {
		} else if len(by) == 1 {
			p.Message += fmt.Sprintf(" (%s)", labels[by[0]])
		} else {
			p.Message += fmt.Sprintf(" (%s, and %d more)", labels[by[0]], len(by)-1)
		}
		out.add(&p)
	}
	return out
}
