package feature

import (
	"errors"
	"fmt"
	"strings"
)

// Flagged is a feature that the edit command has flags for: short ways to write parts of its section.
type Flagged interface {
	Feature
	// Flags lists them, with or without a config.
	Flags() []Flag
}

// Flag is a flag of the edit command, which may be given more than once.
type Flag struct {
	Name    string // without dashes
	Aliases []string
	Value   string // what the help calls its value; empty for a flag that has none
	Help    string
	Secret  bool // the value is not shown
	// Says is what the config says instead, in this order. What only the config's own checks can tell is left to them.
	Says func(value string) ([]Said, error)
}

// Said is a part of a config.
type Said struct {
	Path  string // such as os.packages.install
	Value any    // as YAML has it: lists are appended to what there is, and users of one name are one user
	// Anywhere tells that it may as well be carried out before the files that were named earlier, or later.
	Anywhere bool
}

// Say is one part of a config.
func Say(path string, value any) ([]Said, error) { return []Said{{Path: path, Value: value}}, nil }

// SetFlag is a flag whose value is that of a key of the config.
func SetFlag(name, value, path, help string) Flag {
	return Flag{Name: name, Value: value, Help: help, Says: func(v string) ([]Said, error) { return Say(path, v) }}
}

// ListFlag is a flag whose value is a list with commas between its items, to be added to one of the config.
func ListFlag(name, value, path, help string) Flag {
	return Flag{Name: name, Value: value, Help: help, Says: func(v string) ([]Said, error) {
		var items []any
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item == "" {
				return nil, errors.New("there is nothing before, between or behind the commas")
			}
			items = append(items, item)
		}
		return Say(path, items)
	}}
}

// Pair takes a value apart at the first of these characters.
func Pair(value, seps, form string) (left, right string, err error) {
	i := strings.IndexAny(value, seps)
	if i <= 0 {
		return "", "", fmt.Errorf("want %s", form)
	}
	return value[:i], value[i+1:], nil
}

// Or is an error that was there before, or what follows.
func Or(err error) func([]Said, error) ([]Said, error) {
	return func(list []Said, later error) ([]Said, error) {
		if err != nil {
			return nil, err
		}
		return list, later
	}
}

// ShellWord is a text as one word of the shell.
func ShellWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
