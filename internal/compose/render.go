package compose

import (
	"encoding/json"
	"errors"
	"path/filepath"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// Rendering says how a config is written as one file.
type Rendering struct {
	Dir     string // of the file that is written: relative paths begin there
	Origins bool   // each value has a comment that says where it stands
	JSON    bool   // as a JSON object with the config and the origins of its values
}

// Render is the config as one flat file, which is a valid config itself.
func (r *Result) Render(o Rendering) ([]byte, error) {
	if r.doc == nil {
		return nil, errors.New("the config is not valid")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	text, err := r.doc.YAML(config.Rendering{Dir: dir, Type: step.Root, Origins: o.Origins && !o.JSON, Shown: dir})
	if err != nil || !o.JSON {
		return text, err
	}
	doc, report := config.Parse("", text)
	if err := report.Err(); err != nil {
		return nil, err
	}
	out := map[string]any{"config": doc.Plain()}
	if o.Origins {
		out["origins"] = r.doc.Origins(dir)
	}
	data, err := json.MarshalIndent(out, "", "  ")
	return append(data, '\n'), err
}
