package step

import (
	"fmt"
	"reflect"
	"strings"

	"imagecustomizer/internal/config"
)

// BaseConfig names a config file that another one builds on.
type BaseConfig struct {
	Path config.Path `yaml:"path" required:"true" doc:"A config file in today's schema. Relative paths in it are relative to its own folder." example:"base.yaml"`
}

// Layer is what is known of a file of a config that is made of several.
type Layer struct {
	File   string         // its name, from the folder of the last
	Hash   string         // the SHA-256 of its text
	Before map[string]int // how many items earlier files have in a list
}

// AddLayer adds a file to a config that is made of several. The file is recorded by a name and the hash of its text.
func (c *Config) AddLayer(layer *Config, name, hash string) {
	l := *layer
	l.Layer = Layer{name, hash, map[string]int{}}
	for _, earlier := range c.Layers {
		for list, n := range earlier.lengths() {
			l.Layer.Before[list] += n
		}
	}
	c.Layers = append(c.Layers, &l)
}

// lengths are those of all lists of a config, by their paths.
func (c *Config) lengths() map[string]int {
	all := map[string]int{}
	addLengths(reflect.ValueOf(c).Elem(), "", all)
	return all
}

func addLengths(v reflect.Value, path string, all map[string]int) {
	for _, f := range config.Fields(v.Type()) {
		at := strings.TrimPrefix(path+"."+f.Key, ".")
		switch field := v.FieldByIndex(f.Index); field.Kind() {
		case reflect.Slice:
			all[at] = field.Len()
		case reflect.Struct:
			addLengths(field, at, all)
		}
	}
}

// item is the path of an item of a list in the whole config.
func (c *Config) item(list string, i int) string {
	return fmt.Sprintf("%s[%d]", list, c.Layer.Before[list]+i)
}

// layers are the files of the config; a config without base configs is one itself.
func (c *Config) layers() []*Config {
	if len(c.Layers) == 0 {
		return []*Config{c}
	}
	return c.Layers
}
