package packages

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/seed"
)

// packagesTest is a config of the sections here.
type packagesTest struct {
	OS struct {
		Packages Packages `yaml:"packages"`
	} `yaml:"os"`
}

func TestPackagesAndSourcesFitTheImage(t *testing.T) {
	t.Parallel()
	rpm, deb := []pkgmgr.Source{{Path: "/r"}}, []pkgmgr.Source{{Path: "/d"}}
	for _, c := range []struct {
		manager, config string
		in              feature.Inputs
		want            string // of the only problem
	}{
		{"tdnf", "install: [jq]", feature.Inputs{RPMSources: rpm}, ""},
		{"apt", "install: [jq]", feature.Inputs{DebSources: deb, NoBaseRepos: true}, ""},
		{"apt", "debconfSelections: [a b string c]", feature.Inputs{}, ""},
		{"tdnf", "debconfSelections: [a b string c]", feature.Inputs{}, "debconfSelections are for images with apt; this one has tdnf"},
		{"dnf", "remove: [jq]", feature.Inputs{DebSources: deb}, "--deb-source is of no use for an image with dnf"},
		{"apt", "{}", feature.Inputs{RPMSources: rpm}, "--rpm-source is of no use for an image with apt"},
		{"tdnf", "install: [jq]", feature.Inputs{NoBaseRepos: true}, "there is no source of packages"},
		{"", "remove: [jq]", feature.Inputs{}, "the image has no package manager"},
		{"", "{}", feature.Inputs{RPMSources: rpm}, ""},
	} {
		facts := &machine.Facts{PackageManager: c.manager}
		c.in.Seed = seed.New("x")
		cfg := featuretest.Parse[packagesTest](t, "os:\n  packages:\n    "+c.config+"\n")
		packages := cfg.OS.Packages
		g := &feature.Given{Facts: facts, Inputs: c.in, Packages: packages.Used(), Item: featuretest.ItemOf}
		p, _ := packages.Plan(g)
		_, problems := packages.PlanSources(g)
		switch {
		case c.want == "" && (len(problems) > 0 || len(p) == 0 && c.config != "{}"):
			t.Errorf("%+v: %v, %d steps", c, problems, len(p))
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, c.want)):
			t.Errorf("%+v: %v", c, problems)
		}
	}
}
