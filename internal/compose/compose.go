package compose

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/step"
)

// Options are what to look at besides the config files.
type Options struct {
	CheckFiles bool     // files that the config names must exist
	Profiles   []string // to apply, in this order
	Set        []string // NAME=VALUE
	SetFiles   []string // NAME=FILE
	Vars       []string // files of values
	Facts      *Facts   // of the base image, where they are known
	Given      []string // NAME=VALUE: single facts of a base image that is not known
	Select     []string // entries of the config's matrix, NAME=VALUE,...; all where it is empty
	Entry      Entry    // of these, the one to load

	// Secrets are the values of secret variables. Without them, the config names secrets and holds none.
	Secrets map[string]string
}

// given tells whether the command line asks for what only a config of several parts has.
func (o Options) given() bool { return len(o.Profiles)+len(o.Set)+len(o.SetFiles)+len(o.Vars) > 0 }

// Result is a config, and where each part of it stands.
type Result struct {
	Config  *step.Config
	Report  *config.Report
	Options Options          // with which it was composed, the entry of a matrix among them
	doc     *config.Document // that Config was decoded from
	top     *config.Document // of a chain: its last file
	open    []openPart       // where Waiting: what the config comes to

	// Maybe are the parts that count or not, by what the base image is.
	Maybe []*step.Config
	idle  []idle // what no expression names, where another entry of the matrix may

	// Waiting tells whether the config depends on what the base image is, and that is not known.
	Waiting bool
	// Secrets are the secret variables that the config uses.
	Secrets []Secret
}

// Load composes the config that a file is the top of. What is wrong with it is in the report; the error is that the
// file cannot be read at all.
func Load(top string, files *Files, o Options) (*Result, error) {
	f, err := files.Top(top)
	if err != nil {
		return nil, fmt.Errorf("cannot read the config file: %w", err)
	}
	if top == Stdin {
		top = stdinName
	}
	c := &chain{files: files, options: o, report: config.NewReport(), used: map[string]bool{}}
	c.visit(top, f, nil)
	r := &Result{Config: &step.Config{}, Report: c.report, Options: o}
	if len(c.layers) > 0 {
		r.Config, r.doc = c.together()
		r.top = c.layers[len(c.layers)-1].doc
	}
	r.open, r.idle, r.Secrets = c.open, c.idle, c.useSecrets()
	r.Maybe, r.Waiting = c.pending, c.waiting || len(c.pending) > 0
	return r, nil
}

// Place is the place in a file that a path of today's schema names.
func (r *Result) Place(path string) *config.At { return legacy.Place(r.doc, path) }

// HasSecrets tells whether there are passwords or other secrets in the config.
func (r *Result) HasSecrets() bool { return r.doc != nil && r.doc.HasSecrets() }

// chain is a config file with its base configs, each of which comes before what builds on it.
type chain struct {
	files   *Files
	options Options
	report  *config.Report
	layers  []layer
	done    []string // real paths of files that are in the chain

	variables map[string]*variable
	used      map[string]bool // secret variables that fields or scripts name

	pending []*step.Config
	waiting bool
	open    []openPart
	idle    []idle
}

// layer is one file of a chain.
type layer struct {
	doc  *config.Document
	cfg  *step.Config
	file File
}

// visit adds a file's base configs to the chain, and then the file itself. name is how messages call it; above are
// the real paths of the files that led here.
func (c *chain) visit(name string, f File, above []string) {
	doc := parse(c.report, name, f.Text)
	if doc.Unreadable() {
		c.done = append(c.done, f.Real)
		return
	}
	if len(above) > 0 && legacy.Is2023(doc) {
		doc.At().Errorf("a base config is written in today's schema, and this one is of 2023").Hint("write its SystemConfig as os; the reference is docs/configuration.md")
	}
	if doc = c.whole(doc, name, f, above); doc == nil {
		return
	}
	cfg := legacy.Load(doc, config.Options{CheckFiles: c.options.CheckFiles, Also: Keys})
	if len(above) == 0 && !c.waiting && len(c.pending) == 0 {
		legacy.WarnEmpty(doc, cfg)
	}
	bases := doc.At().Field("baseConfigs")
	for i, b := range cfg.BaseConfigs {
		c.base(name, b, bases.Index(i).Field("path"), append(slices.Clone(above), f.Real))
	}
	c.layers, c.done = append(c.layers, layer{doc, cfg, f}), append(c.done, f.Real)
}

// parse reads a config file. What may be a secret in it is hidden from then on, whatever becomes of the file.
func parse(report *config.Report, name string, text []byte) *config.Document {
	doc := report.Parse(name, text)
	for _, t := range []reflect.Type{step.Root, reflect.TypeFor[legacy.Config]()} {
		doc.Root().Suspect(t)
	}
	return doc
}

// whole is a document with what it includes, and its profiles. It is nil where that cannot be made.
func (c *chain) whole(doc *config.Document, name string, f File, above []string) *config.Document {
	parts := Composed(doc)
	switch {
	case parts && len(above) > 0:
		for _, k := range Keys {
			if slices.Contains(doc.Keys(), k) {
				doc.At().Key(k).Errorf("a base config cannot have %s", k).Hint("include the file instead of naming it in baseConfigs")
			}
		}
		return doc.Without(Keys...)
	case !parts && c.options.given() && len(above) == 0:
		c.report.Add(name, "--profile, --set, --set-file and --vars are for a config with variables, include or profiles; this one has none of them")
		return doc
	case !parts:
		return doc
	}
	m := &composer{files: c.files, options: c.options, report: c.report, top: name}
	doc = m.compose(doc, f)
	c.pending, c.waiting, c.open, c.idle = m.pending, m.waiting, m.open, m.idle
	c.variables, c.used = m.declared, m.used
	return doc
}

// base adds a base config that the file named from names.
func (c *chain) base(from string, b step.BaseConfig, at *config.At, above []string) {
	if b.Path.Text == "" {
		return // which is reported
	}
	f, err := c.files.Further(b.Path.Resolved)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at.Errorf("there is no base config %s", b.Path.Text).Hint("a relative path is relative to the folder of the file that it stands in, %s", at.File())
	case err != nil:
		at.Errorf("cannot read the base config %s: %v", b.Path.Text, config.Reason(err))
	case slices.Contains(above, f.Real):
		at.Errorf("the base configs lead in a circle: %s", circle(above, f.Real)).Hint("remove one of the links")
	case len(above) > maxDepth:
		at.Errorf("base configs of base configs, more than %d deep", maxDepth)
	case !slices.Contains(c.done, f.Real):
		c.visit(beside(from, b.Path.Text), f, above)
	}
}

// circle names the files that lead from one back to itself.
func circle(above []string, again string) string {
	names := []string{}
	for _, a := range append(above[slices.Index(above, again):], again) {
		names = append(names, filepath.Base(a))
	}
	return strings.Join(names, " -> ")
}

// beside is a path that is written in a file, as one that messages can show.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// inChain says how base configs and what builds on them become one, as in the reference.
var inChain = config.Rules{
	Whole:  []string{"input.image"},
	Once:   []string{"storage"},
	Sticky: []string{"os.packages.updateExistingPackages"},
	Union:  []string{"previewFeatures", "output.artifacts.items"},
	Filled: true, Layers: true,
}

// together is the config of the whole chain. Each file was found valid for itself; now the whole is.
func (c *chain) together() (*step.Config, *config.Document) {
	top := c.layers[len(c.layers)-1]
	if len(c.layers) == 1 || c.report.Failed() {
		return top.cfg, top.doc
	}
	var docs []*config.Document
	for _, l := range c.layers {
		docs = append(docs, l.doc)
	}
	doc := config.Merge(docs, inChain)
	cfg := &step.Config{}
	if !c.report.Failed() {
		cfg = step.Decode(doc, config.Options{CheckFiles: c.options.CheckFiles})
	}
	for _, l := range c.layers {
		text, err := l.doc.Fingerprint(step.Root)
		if err != nil {
			l.doc.At().Errorf("%v", err)
		}
		cfg.AddLayer(l.cfg, from(top.file, l.file), fmt.Sprintf("%x", sha256.Sum256(text)))
	}
	return cfg, doc
}

// from names a file from the folder of another.
func from(top, file File) string {
	if rel, err := filepath.Rel(filepath.Dir(top.Path), file.Path); err == nil {
		return filepath.ToSlash(rel)
	}
	return file.Path
}
