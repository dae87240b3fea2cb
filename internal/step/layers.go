package step

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/system"
)

// BaseConfig names a config file that another one builds on.
type BaseConfig struct {
	Path config.Path `yaml:"path" required:"true" doc:"A config file in today's schema. Relative paths in it are relative to its own folder." example:"base.yaml"`
}

// Layer is what is known of a file of a config that is made of several.
type Layer struct {
	File   string         // its name, from the folder of the last
	Hash   string         // the SHA-256 of what it says, but for what may be secret
	Before map[string]int // how many items earlier files have in a list
}

// AddLayer adds a file to a config that is made of several. The file is recorded by a name and a hash, in which
// there is no secret.
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

// Sequential says why a config cannot be carried out from one file in a directory, where it cannot: what one file says,
// all groups come before all users, packages are changed in one session, and scripts see one directory.
func (c *Config) Sequential(dir string) (why []string) {
	for _, x := range []struct {
		path string
		used func(l *Config) bool
	}{
		{"os.packages", func(l *Config) bool { return l.OS.Packages.Used() }},
		{"os.groups and os.users", func(l *Config) bool { return len(l.OS.Groups)+len(l.OS.Users) > 0 }},
	} {
		var files []string
		for _, l := range c.Layers {
			if x.used(l) {
				files = append(files, l.Layer.File)
			}
		}
		if len(files) > 1 {
			why = append(why, fmt.Sprintf("%s of %s are carried out file by file", x.path, strings.Join(files, " and ")))
		}
	}
	for _, u := range c.OS.Services.Enable {
		if slices.Contains(c.OS.Services.Disable, u) {
			why = append(why, fmt.Sprintf("os.services: one file enables %s, and another disables it", u))
		}
	}
	modules := map[string]bool{}
	for _, m := range c.OS.Modules {
		if modules[system.ModuleKey(string(m.Name))] {
			why = append(why, fmt.Sprintf("os.modules: two files have %s", m.Name))
		}
		modules[system.ModuleKey(string(m.Name))] = true
	}
	for _, s := range slices.Concat(c.flat().Scripts.PostCustomization, c.Scripts.FinalizeCustomization) {
		rel, err := filepath.Rel(dir, s.Path.Resolved)
		if s.Path.Resolved == "" && s.Dir != dir && strings.Contains(fmt.Sprint(s.Content, s.Arguments, s.EnvironmentVariables), "_imageconfigs") || s.Path.Resolved != "" && (err != nil || !filepath.IsLocal(rel) || s.Dir != dir) {
			why = append(why, fmt.Sprintf("scripts: one of %s sees that directory at %s, and would see %s", s.Dir, scripts.ConfigMount, dir))
		}
	}
	return slices.Compact(why)
}
