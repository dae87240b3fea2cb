package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// Keys are the keys of a config by which it is made of several parts.
var Keys = []string{"variables", "include", "profiles", "matrix"}

// Sections are what these keys hold.
type Sections struct {
	Variables declarations `yaml:"variables"`
	Include   []Include    `yaml:"include"`
	Profiles  profiles     `yaml:"profiles"`
	Matrix    grid         `yaml:"matrix"`
}

// Reference is what these keys hold, for a schema.
type Reference struct {
	Variables map[string]Variable `yaml:"variables" doc:"Variables that expressions, ${{ NAME }}, can name."`
	Include   []config.Raw        `yaml:"include" doc:"Config files, or parts of one, that come before what this file says: a path, or a mapping with path or config, and when."`
}

// Include is a config file, or a part of one, that comes before what the file itself says.
type Include struct {
	Path   config.Raw `yaml:"path"`
	Config config.Raw `yaml:"config"`
	When   config.Raw `yaml:"when"`
}

// UnmarshalConfig takes a path alone too.
func (i *Include) UnmarshalConfig(n *config.Node) {
	if n.Kind() == config.Text {
		i.Path.Node = n
		return
	}
	type fields Include
	n.Decode((*fields)(i))
	if n.Kind() == config.Map && (i.Path.Node == nil) == (i.Config.Node == nil) {
		n.At().Errorf("an include has either a path or a config").Hint("write \"- path: FILE\"")
	}
}

// profiles of a file.
type profiles []config.Pair

// TakesEmpty tells that an empty mapping may stand there.
func (profiles) TakesEmpty(k config.Kind) bool { return k == config.Map }

// UnmarshalConfig reads the profiles of a file.
func (p *profiles) UnmarshalConfig(n *config.Node) {
	if n.Kind() != config.Map {
		n.At().Errorf("profiles: expected a mapping of names and parts of a config").Hint("write \"profiles: {debug: {os: {...}}}\"")
		return
	}
	*p = append(n.Pairs(), n.Unset()...)
}

// Composed tells whether a document is made of several parts, so that its texts may hold expressions.
func Composed(doc *config.Document) bool {
	return slices.ContainsFunc(doc.Keys(), func(k string) bool { return slices.Contains(Keys, k) })
}

// composer makes one document of a file, of what it includes, and of the profiles that are selected.
type composer struct {
	files    *Files
	options  Options
	report   *config.Report
	top      string // file that the command line names
	settings []setting
	given    map[string]string // facts, by their names

	variables []declarations // in the order in which they are merged
	declared  map[string]*variable
	parts     []part // likewise
	profiles  map[string][]part
	mentioned map[string]*config.At // profiles that a condition of an include names
	done      []string              // real paths of files that are in parts
	maybe     map[string]bool       // of these, those that a condition includes
	dynamic   bool                  // a path is an expression: not all files are known
	used      map[string]bool       // variables that an expression names
	missed    map[string]bool       // variables of which it is reported that they have no value
	open      []openPart            // all parts that count or may, where that is not known of all
	pending   []*step.Config        // of parts whose conditions ask for facts that are not known
	waiting   bool                  // so does the condition of a list item
	grid      *grid                 // matrix of the top file
	idle      []idle                // what no expression of this entry of the matrix names
	spent     int                   // bytes that expressions came to
	checked   int                   // likewise, where all parts are looked at for themselves
}

// part is what one file, include or profile says.
type part struct {
	doc   *config.Document
	conds []*config.Node // conditions under which it counts
}

// compose makes one document of the top file. It is nil where that cannot be done.
func (c *composer) compose(doc *config.Document, f File) *config.Document {
	c.profiles, c.mentioned = map[string][]part{}, map[string]*config.At{}
	c.maybe = map[string]bool{}
	c.used, c.missed = map[string]bool{}, map[string]bool{}
	c.readSettings()
	c.readFacts()
	c.visit(doc, f, nil, nil, nil)
	vars := c.declare(c.variables...)
	c.checkEntry(vars)
	c.declared = vars
	for _, name := range sortedKeys(vars) {
		c.settle(vars[name])
	}
	c.checkSettings(vars)
	c.checkProfiles()
	var docs []*config.Document
	selected := slices.Clone(c.parts)
	for _, name := range c.options.Profiles {
		selected = append(selected, c.profiles[name]...)
	}
	for _, p := range selected {
		taken, known := c.holds(p.conds, vars)
		maybe := c.check(p, vars)
		switch {
		case !known:
			c.pending = append(c.pending, maybe)
			c.onlyLate(p)
		case taken:
			docs = append(docs, p.doc.Expand(expander{c: c, vars: vars, needed: true}))
		}
	}
	for _, name := range sortedKeys(c.profiles) {
		for _, p := range c.profiles[name] {
			if !slices.Contains(c.options.Profiles, name) {
				c.holds(p.conds, vars)
				c.check(p, vars)
			}
		}
	}
	c.checkUsed(vars)
	if !c.report.Failed() && (c.waiting || len(c.pending) > 0) {
		c.leaveOpen(selected, vars)
	}
	if c.report.Failed() || len(docs) == 0 {
		return nil
	}
	return config.Merge(docs, inParts)
}

// visit adds what a document includes, and then itself. above are the real paths of the files that led here; outer is
// what they declare, conds the conditions under which they include this one.
func (c *composer) visit(doc *config.Document, f File, above []string, outer []declarations, conds []*config.Node) {
	var s Sections
	doc.Only(Keys...).Decode(&s, config.Options{})
	c.enter(s.Matrix, len(above) > 0)
	scopes := append([]declarations{s.Variables}, outer...) // what includes wins
	for _, i := range s.Include {
		c.include(i, append(slices.Clone(above), f.Real), scopes, conds)
	}
	c.variables = append(c.variables, s.Variables)
	body := doc.Without(Keys...)
	if len(above) > 0 && slices.Contains(doc.Keys(), "baseConfigs") {
		doc.At().Key("baseConfigs").Errorf("a file that is included cannot have baseConfigs").Hint("include the files instead")
	}
	if len(s.Include) > 0 && slices.Contains(doc.Keys(), "baseConfigs") {
		doc.At().Key("baseConfigs").Errorf("a file has either baseConfigs or include").Hint("include the base configs: the rules of merging differ, see docs/composition.md")
	}
	c.parts = append(c.parts, part{body, conds})
	c.done, c.maybe[f.Real] = append(c.done, f.Real), len(conds) > 0
	for _, p := range s.Profiles {
		c.addProfile(p, conds)
	}
}

func (c *composer) addProfile(p config.Pair, conds []*config.Node) {
	if p.Value != nil {
		p.Value.Suspect(step.Root)
	}
	if !variableName.MatchString(p.Key) {
		p.KeyAt.Errorf("%q cannot be the name of a profile", p.Key).Hint("use letters, digits, \"_\" and \"-\"")
		return
	}
	if p.Value == nil || p.Value.Kind() == config.Null {
		c.profiles[p.Key] = append(c.profiles[p.Key], []part{}...)
		return
	}
	if p.Value.Kind() != config.Map {
		p.Value.At().Errorf("profile %s: expected a part of a config", p.Key)
		return
	}
	doc := p.Value.Document()
	if own := p.Value.At().Field(config.When); p.Value.At().Has(config.When) {
		conds = append(slices.Clone(conds), own.Node())
	}
	for _, k := range append([]string{"baseConfigs"}, Keys...) {
		if slices.Contains(doc.Keys(), k) {
			doc.At().Key(k).Errorf("a profile cannot have %s", k)
		}
	}
	c.profiles[p.Key] = append(c.profiles[p.Key], part{doc.Without(append(Keys, "baseConfigs", config.When)...), conds})
}

// include adds an include.
func (c *composer) include(i Include, above []string, scopes []declarations, conds []*config.Node) {
	if i.When.Node != nil {
		conds = append(slices.Clone(conds), i.When.Node)
		c.mention(i.When.Node)
	}
	if i.Config.Node != nil {
		i.Config.Suspect(step.Root)
		if i.Config.Kind() != config.Map {
			i.Config.At().Errorf("config: expected a part of a config")
			return
		}
		doc := i.Config.Document()
		for _, k := range append([]string{"baseConfigs"}, Keys...) {
			if slices.Contains(doc.Keys(), k) {
				doc.At().Key(k).Errorf("an included part cannot have %s", k)
			}
		}
		c.parts = append(c.parts, part{doc.Without(append(Keys, "baseConfigs")...), conds})
		return
	}
	if i.Path.Node != nil {
		c.includeFile(i.Path.Node, above, scopes, conds)
	}
}

func (c *composer) includeFile(n *config.Node, above []string, scopes []declarations, conds []*config.Node) {
	at := n.At()
	path, changed := expander{c: c, vars: c.declare(scopes...), needed: true}.path(n)
	c.dynamic = c.dynamic || changed
	if path == "" {
		return
	}
	f, err := c.files.Further(beside(at.File(), path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at.Errorf("there is no file %s to include", path).Hint("a relative path is relative to the folder of the file that it stands in, %s", at.File())
	case err != nil:
		at.Errorf("cannot read %s: %s", path, config.Reason(err))
	case slices.Contains(above, f.Real):
		at.Errorf("the includes lead in a circle: %s", circle(above, f.Real)).Hint("remove one of the links")
	case len(above) > maxDepth:
		at.Errorf("includes of includes, more than %d deep", maxDepth)
	case slices.Contains(c.done, f.Real):
		if c.maybe[f.Real] { // it counts once, and whether it does would depend on the first condition alone
			at.Errorf("%s is included before under a condition, and counts once", path).Hint("include it once, with both conditions: \"when: profile.a || profile.b\"")
		}
	default:
		doc := parse(c.report, beside(at.File(), path), f.Text)
		if !doc.Unreadable() {
			c.visit(doc, f, above, scopes, conds)
		}
	}
}

// identities are the lists whose items are one thing where their names are the same.
var identities = map[string]string{
	"os.users": "name", "os.groups": "name", "os.modules": "name", "os.additionalFiles": "destination", "os.overlays": "mountPoint",
	"iso.additionalFiles": "destination", "pxe.additionalFiles": "destination",
	"storage.disks.partitions": "id", "storage.filesystems": "deviceId", "storage.verity": "id",
}

// inParts says how includes and profiles become one.
var inParts = config.Rules{Identity: identities, Tags: true}

// check looks at a part for itself, with all that is there under conditions: what a later part replaces is no place
// for mistakes.
func (c *composer) check(p part, vars map[string]*variable) *step.Config {
	cfg := &step.Config{}
	doc := p.doc.Expand(expander{c: c, vars: vars, all: true})
	doc.Decode(cfg, config.Options{Part: true, Unsupported: step.Unsupported, Also: Keys})
	named := secretsOfScripts(doc, cfg, vars)
	for _, n := range named {
		c.used[n] = true
	}
	return cfg
}

// late are the keys of a config that may depend on the base image. The others say which that is, and what is made of
// its disk, which must be known before it is opened.
var late = []string{"os", "scripts", "iso", "pxe"}

const lateHint = "only os, scripts, iso and pxe can; use a profile or a variable for the rest"

// onlyLate reports what may not depend on the base image, in a part that does.
func (c *composer) onlyLate(p part) {
	for _, k := range p.doc.Keys() {
		if !slices.Contains(late, k) {
			p.doc.At().Key(k).Errorf("%s cannot depend on what the base image is", k).Hint("%s", lateHint)
		}
	}
}

// unused reports what no expression names. Where a path is an expression, files that are not read now may name it, and
// those of another entry of the matrix.
func (c *composer) unused(at *config.At, what, hint string) {
	switch {
	case !c.dynamic:
		at.Errorf("%s", what).Hint("%s", hint)
	case c.options.Entry != nil:
		c.idle = append(c.idle, idle{at, what, hint})
	default:
		at.Warnf("%s", what).Hint("%s", hint)
	}
}

// checkUsed reports variables and values of the matrix that no expression names.
func (c *composer) checkUsed(vars map[string]*variable) {
	c.checkAxes(vars)
	for _, name := range sortedKeys(vars) {
		v := vars[name]
		if c.used[name] || v.broken {
			continue
		}
		c.unused(v.at, fmt.Sprintf("the variable %s is not used", name), fmt.Sprintf("remove it, or name it in an expression: ${{ %s }}", name))
	}
}
