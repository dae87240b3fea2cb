package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// Rendering says how a config is written as one file.
type Rendering struct {
	Dir     string // of the file that is written: relative paths begin there
	Origins bool   // each value has a comment that says where it stands
	JSON    bool   // as a JSON object with the config and the origins of its values
	Secrets bool   // passwords are written too
}

// Render is the config as one file, which is a valid config itself. It is flat but for base configs that cannot be
// carried out as one file; why they cannot is returned too.
func (r *Result) Render(o Rendering) (text []byte, kept []string, err error) {
	dir, err := filepath.Abs(o.Dir)
	switch {
	case err != nil:
		return nil, nil, err
	case r.doc == nil:
		return nil, nil, errors.New("it is not valid")
	case r.Waiting:
		return nil, nil, errors.New("conditions in it ask what the base image is, which is not known here")
	}
	doc := r.doc
	if kept = r.Config.Sequential(dir); len(kept) > 0 && len(r.Config.Layers) == 0 {
		return nil, nil, fmt.Errorf("as a file in %s: %s", dir, kept[0])
	} else if len(kept) > 0 {
		doc = r.top
	} else {
		doc = doc.Without("baseConfigs")
	}
	text, err = doc.YAML(config.Rendering{Dir: dir, Type: step.Root, Origins: o.Origins && !o.JSON, Shown: dir, Secrets: o.Secrets})
	if err != nil || !o.JSON {
		return text, kept, err
	}
	plain, report := config.Parse("", text)
	if err := report.Err(); err != nil {
		return nil, nil, err
	}
	out := map[string]any{"config": plain.Plain()}
	if o.Origins {
		out["origins"] = doc.Origins(dir)
	}
	text, err = json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), kept, err
}

// Diff lists what differs in what two configs come to: path, value and place of each.
func Diff(a, b *Result) (list []string) {
	left, right := a.doc.Without("baseConfigs").Values(), b.doc.Without("baseConfigs").Values()
	var paths []string
	for p := range left {
		paths = append(paths, p)
	}
	for p := range right {
		if _, both := left[p]; !both {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		l, hasL := left[p]
		r, hasR := right[p]
		if hasL && hasR && l.Is(r) {
			continue
		}
		if hasL {
			list = append(list, fmt.Sprintf("- %s: %s  (%s:%d)", p, l.Text, l.File, l.Line))
		}
		if hasR {
			list = append(list, fmt.Sprintf("+ %s: %s  (%s:%d)", p, r.Text, r.File, r.Line))
		}
	}
	return list
}
