package compose

import (
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/step"
)

// Flag is a flag of the command line as it was given, and what it says.
type Flag struct {
	Name string // with its value, unless that is secret
	Said []feature.Said
}

// saidPart is one thing that a flag says.
type saidPart struct {
	flag string
	feature.Said
}

// inFlags says how what flags say becomes one config.
var inFlags = config.Rules{Identity: map[string]string{"os.users": "name", "os.groups": "name"}}

// FromFlags is the config that flags come to, with paths that begin at the directory dir.
func FromFlags(flags []Flag, dir string, o Options) (*Result, error) {
	report := config.NewReport()
	var rounds []*config.Document
	for _, list := range inRounds(flags) {
		var docs []*config.Document
		for _, p := range list {
			d, err := report.Say(p.flag, dir, p.Path, p.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.flag, err)
			}
			docs = append(docs, d)
		}
		rounds = append(rounds, config.Merge(docs, inFlags))
	}
	doc := config.InRounds("rounds", rounds)
	return &Result{Config: step.Decode(doc, config.Options{CheckFiles: o.CheckFiles}), Report: report, doc: doc, top: doc}, nil
}

// ranks are the sections whose order matters to each other, in the order of a run. What is not among them is done once,
// wherever it is given.
var ranks = []string{"os.packages.remove", "os.packages", "os.users", "os.additionalDirs", "os.additionalFiles", "os.services", "scripts"}

const files, scripts = 3, 6 // in ranks

func rank(path string) int {
	return slices.IndexFunc(ranks, func(r string) bool { return path == r || strings.HasPrefix(path, r+".") })
}

// inRounds parts what flags say so that a run of each part in its own order does everything in the order in which the
// flags are given. What a round cannot have is done with the last part.
func inRounds(flags []Flag) [][]saidPart {
	rounds := [][]saidPart{nil}
	var once []saidPart
	for _, f := range flags {
		for _, s := range f.Said {
			if rank(s.Path) < 0 {
				once = append(once, saidPart{f.Name, s})
				continue
			}
			last := &rounds[len(rounds)-1]
			if slices.ContainsFunc(*last, func(p saidPart) bool { return comesBefore(s, p.Said) }) {
				rounds = append(rounds, nil)
				last = &rounds[len(rounds)-1]
			}
			*last = append(withoutReplaced(*last, s), saidPart{f.Name, s})
		}
	}
	last := &rounds[len(rounds)-1]
	*last = append(*last, once...)
	return rounds
}

// comesBefore tells whether a run would do s before what was given earlier, though it may build on that.
func comesBefore(s, earlier feature.Said) bool {
	a, b := rank(s.Path), rank(earlier.Path)
	switch {
	case a < 0 || a >= b || s.Anywhere || earlier.Anywhere:
		return false
	case b == scripts: // may do anything
		return true
	case a < files: // packages, whose sources may be files; users have none
		return a < 2 && (b >= files && b < scripts-1 || b == 1)
	}
	return a == files && b == files+1 && overlap(s.Value, earlier.Value)
}

// overlap tells whether a directory is copied to where a file was put.
func overlap(dirs, files any) bool {
	dir, file := destination(dirs), destination(files)
	return strings.HasPrefix(file+"/", strings.TrimSuffix(dir, "/")+"/")
}

// destination is that of the one item in a list of files or directories; others have none.
func destination(list any) string {
	items, _ := list.([]any)
	if len(items) != 1 {
		return ""
	}
	item, _ := items[0].(map[string]any)
	to, _ := item["destination"].(string)
	return to
}

// withoutReplaced is a list of parts without a file that a later one replaces.
func withoutReplaced(list []saidPart, s feature.Said) []saidPart {
	to := destination(s.Value)
	return slices.DeleteFunc(list, func(p saidPart) bool {
		return s.Path == "os.additionalFiles" && p.Path == s.Path && to == destination(p.Value)
	})
}
