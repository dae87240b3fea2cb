package step

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/feature/users"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Rounds are parts of a customization that are carried out before the rest, one after the other: what one of them does,
// later ones build on. So files can bring sources of packages, and scripts can run between two installations.
type Rounds []Round

// Round is one of them.
type Round struct {
	OS      RoundOS      `yaml:"os" doc:"What to change in the system, in this order."`
	Scripts RoundScripts `yaml:"scripts" doc:"Scripts to run behind that."`
}

// RoundOS is what a round changes in the system.
type RoundOS struct {
	Packages        packages.Packages     `yaml:"packages" doc:"As os.packages."`
	Groups          users.Groups          `yaml:"groups" doc:"As os.groups."`
	Users           users.Users           `yaml:"users" doc:"As os.users."`
	AdditionalDirs  files.AdditionalDirs  `yaml:"additionalDirs" doc:"As os.additionalDirs."`
	AdditionalFiles files.AdditionalFiles `yaml:"additionalFiles" doc:"As os.additionalFiles."`
	Services        services.Services     `yaml:"services" doc:"As os.services."`
}

// RoundScripts are the scripts of a round.
type RoundScripts struct {
	PostCustomization []scripts.Script `yaml:"postCustomization" doc:"As scripts.postCustomization."`
}

// Validate finds what is there twice, and secrets, which are looked for in what a config does once.
func (o *RoundOS) Validate(at *config.At) {
	o.whole().Validate(at)
	for i, f := range o.AdditionalFiles {
		if len(f.Secrets) > 0 {
			at.Field("additionalFiles").Index(i).Field("content").Errorf("a file of a round cannot hold a secret").Hint("move it to os.additionalFiles")
		}
	}
}

// Validate refuses secrets.
func (s *RoundScripts) Validate(at *config.At) {
	for i, x := range s.PostCustomization {
		if len(x.Secrets) > 0 {
			at.Field("postCustomization").Index(i).Field("secrets").Errorf("a script of a round gets no secrets").Hint("move it to scripts.postCustomization")
		}
	}
}

// whole is the round's part of a config's section os.
func (o RoundOS) whole() *OS {
	return &OS{Packages: o.Packages, Groups: o.Groups, Users: o.Users, AdditionalDirs: o.AdditionalDirs, AdditionalFiles: o.AdditionalFiles, Services: o.Services}
}

// config is the round as a config of its own.
func (s Round) config() *Config {
	return &Config{OS: *s.OS.whole(), Scripts: scripts.Scripts{PostCustomization: s.Scripts.PostCustomization}}
}

// inRound are the places of a run that a round has too.
func inRound(places []Place) (list []Place) {
	names := []string{"scripts.postCustomization"}
	for _, f := range config.Fields(reflect.TypeFor[RoundOS]()) {
		names = append(names, "os."+f.Key)
	}
	for _, p := range places {
		if slices.Contains(names, p.What) {
			list = append(list, p)
		}
	}
	return list
}

// each calls f for all that the rounds do, in its order, with the path of the round.
func (l Rounds) each(f func(path string, p Place)) {
	for i, s := range l {
		for _, p := range inRound(s.config().order()) {
			if p.Used() {
				f(fmt.Sprintf("rounds[%d].", i), p)
			}
		}
	}
}

// Used tells whether there are some.
func (l Rounds) Used() bool { return len(l) > 0 }

// Touches is what their sections touch.
func (l Rounds) Touches() (list []feature.Touch) {
	l.each(func(path string, p Place) {
		for _, t := range p.Touches() {
			t.At = strings.TrimPrefix(path, "rounds") + p.What + t.At
			list = append(list, t)
		}
	})
	return list
}

// Record is what their sections record.
func (l Rounds) Record() (any, error) {
	var list []any
	for _, s := range l {
		described, err := DescribeConfig(s.config())
		if err != nil {
			return nil, err
		}
		list = append(list, described)
	}
	return feature.RecordIf(l.Used(), list)
}

// Plan carries out one after the other.
func (l Rounds) Plan(g *feature.Given) (all plan.Plan, problems []plan.Problem) {
	l.each(func(path string, p Place) {
		steps, why := p.Plan(g)
		for _, s := range steps {
			all = append(all, ofRound{s, path, path != "rounds[0]."})
		}
		for _, w := range why {
			w.Path = path + cmp.Or(w.Path, p.What)
			problems = append(problems, w)
		}
	})
	return all, problems
}

// ofRound is a step of a round, whose place in the config is below that, or one behind all of them.
type ofRound struct {
	plan.Step
	path  string
	later bool // a round before it may bring what it lacks
}

// Stage is that of the step.
func (s ofRound) Stage() plan.Stage { return plan.StageOf(s.Step) }

// Check is that of the step.
func (s ofRound) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	c, is := s.Step.(plan.Checker)
	if !is {
		return nil
	}
	for _, p := range c.Check(ctx, m) {
		if p.Path != "" {
			p.Path = s.path + p.Path
		}
		p.Later = p.Later || s.later
		problems = append(problems, p)
	}
	return problems
}

// Replaces is that of the step.
func (s ofRound) Replaces(m *machine.Machine) (list []plan.Replaced) {
	r, is := s.Step.(plan.Replacer)
	if !is {
		return nil
	}
	for _, f := range r.Replaces(m) {
		if f.Path != "" {
			f.Path = s.path + f.Path
		}
		list = append(list, f)
	}
	return list
}

// Brings tells whether later steps may find what they lack now: scripts and files bring anything, and what packages can
// be installed depends on both.
func (s ofRound) Brings() bool {
	b, is := s.Step.(plan.Bringer)
	return s.path != "" || is && b.Brings()
}

// AskedBy is the place of the round, or of what in it asks for the step.
func (s ofRound) AskedBy() string {
	if a, is := s.Step.(plan.Asked); is {
		return s.path + a.AskedBy()
	}
	return strings.TrimSuffix(s.path, ".")
}

// behind are steps to which rounds may bring what they need.
func (l Rounds) behind(p Place, steps plan.Plan) plan.Plan {
	if p.What != "os.packages" || !l.Used() {
		return steps
	}
	var list plan.Plan
	for _, s := range steps {
		list = append(list, ofRound{s, "", true})
	}
	return list
}

// flat is the config with what its rounds bring among its own, for what must be known of all of it together.
func (c *Config) flat() *Config {
	all := *c
	for _, s := range c.Rounds {
		all.OS.Packages = joined(s.OS.Packages, all.OS.Packages)
		all.OS.Groups = slices.Concat(s.OS.Groups, all.OS.Groups)
		all.OS.Users = slices.Concat(s.OS.Users, all.OS.Users)
		all.OS.AdditionalDirs = slices.Concat(s.OS.AdditionalDirs, all.OS.AdditionalDirs)
		all.OS.AdditionalFiles = slices.Concat(s.OS.AdditionalFiles, all.OS.AdditionalFiles)
		all.Scripts.PostCustomization = slices.Concat(s.Scripts.PostCustomization, all.Scripts.PostCustomization)
	}
	return &all
}

func joined(a, b packages.Packages) packages.Packages {
	return packages.Packages{
		UpdateExisting: a.UpdateExisting || b.UpdateExisting,
		InstallLists:   slices.Concat(a.InstallLists, b.InstallLists), Install: slices.Concat(a.Install, b.Install),
		RemoveLists: slices.Concat(a.RemoveLists, b.RemoveLists), Remove: slices.Concat(a.Remove, b.Remove),
		UpdateLists: slices.Concat(a.UpdateLists, b.UpdateLists), Update: slices.Concat(a.Update, b.Update),
		Debconf: slices.Concat(a.Debconf, b.Debconf),
	}
}

// AddsPackages tells whether a run adds or updates packages.
func (c *Config) AddsPackages() bool { return c.flat().OS.Packages.Adds() }
