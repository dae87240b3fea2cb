package step

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

const withRounds = `
rounds:
- os:
    packages: {install: [a]}
    groups: [{name: staff}]
    users: [{name: alice, primaryGroup: staff, password: {type: plain-text, value: x}}]
    additionalFiles: [{destination: /etc/unit.service, content: x}]
    services: {enable: [sshd]}
  scripts: {postCustomization: [{content: "true"}]}
- scripts: {postCustomization: [{content: "true"}, {content: "true"}]}
os:
  packages: {install: [b]}
scripts: {postCustomization: [{content: "true"}]}
`

func configOf(t *testing.T, text string) *Config {
	t.Helper()
	doc, report := config.Parse("test.yaml", []byte(text))
	c := Decode(doc, config.Options{})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRoundsComeFirst: all of a round is done before the next, and all rounds before the rest.
func TestRoundsComeFirst(t *testing.T) {
	t.Parallel()
	f := &machine.Facts{PackageManager: "apt"}
	p, problems := Plan(configOf(t, withRounds), f, feature.Inputs{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var names []string
	for _, s := range p {
		if slices.ContainsFunc([]string{"packages", "users.", "groups.", "files.", "services", "scripts."}, func(begin string) bool { return strings.HasPrefix(s.Name(), begin) }) {
			names = append(names, s.Name())
		}
	}
	want := "packages groups.add users.change files.write services scripts.postCustomization scripts.postCustomization scripts.postCustomization packages"
	if got := strings.Join(names, " "); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s ...", got, want)
	}
}

// TestRoundsAreKnownToTheRest: what the rest asks of packages, users and files, rounds answer too.
func TestRoundsAreKnownToTheRest(t *testing.T) {
	t.Parallel()
	c := configOf(t, withRounds)
	g := c.given(&machine.Facts{}, feature.Inputs{})
	if !slices.Equal(g.Installs, []string{"a", "b"}) || !slices.Equal(g.Users, []string{"alice"}) || !slices.Equal(g.Passwords, []string{"alice"}) || !g.Files.Has("/etc/unit.service") || !g.Post {
		t.Errorf("%+v", g)
	}
	if !configOf(t, "rounds: [{os: {packages: {install: [a]}}}]").AddsPackages() || configOf(t, "rounds: [{os: {packages: {remove: [a]}}}]").AddsPackages() {
		t.Error("whether packages are added")
	}
	d, err := DescribeConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	rounds, _ := d["rounds"].([]any)
	if len(rounds) != 2 || strings.Contains(fmt.Sprint(d), "value:x") {
		t.Errorf("%+v", d)
	}
}

// asking is a step that lacks something.
type asking struct{ plan.Step }

func (asking) Check(context.Context, *machine.Machine) []plan.Problem {
	return []plan.Problem{{Path: "os.users[1].primaryGroup"}, {Text: "no place"}}
}

func (asking) Replaces(*machine.Machine) []plan.Replaced {
	return []plan.Replaced{{File: "/a", Path: "os.users[1]"}, {File: "/b"}}
}
func (asking) AskedBy() string { return "os.users[1]" }

// TestPlacesInRounds: what a step says of its place is below that of its round, and what may come by then is no problem yet.
func TestPlacesInRounds(t *testing.T) {
	t.Parallel()
	s := ofRound{asking{}, "rounds[3].", true}
	p, r := s.Check(t.Context(), nil), s.Replaces(nil)
	if p[0].Path != "rounds[3].os.users[1].primaryGroup" || p[1].Path != "" || !p[0].Later || r[0].Path != "rounds[3].os.users[1]" || r[1].Path != "" {
		t.Errorf("%+v, %+v", p, r)
	}
	if s.AskedBy() != "rounds[3].os.users[1]" || (ofRound{path: "rounds[3]."}).AskedBy() != "rounds[3]" || (ofRound{}).AskedBy() != "" || !s.Brings() || (ofRound{}).Brings() {
		t.Error("who asks, and who brings")
	}
}

func TestMistakesInRounds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"rounds: [{os: {hostname: x}}]":                                                              "hostname",
		"rounds: [{os: {users: [{name: a}, {name: a}]}}]":                                            "rounds[0].os.users",
		"rounds: [{scripts: {finalizeCustomization: [{content: x}]}}]":                               "finalizeCustomization",
		"rounds: [{scripts: {postCustomization: [{content: x, secrets: [a]}]}}]":                     "gets no secrets",
		"rounds: [{os: {additionalFiles: [{destination: /run/x, content: x}]}}]":                     "/run",
		"rounds: [{os: {packages: {install: [a], remove: [b], update: [b]}}}]":                       "removed and updated",
		"rounds: [{os: {packages: {install: ['-a']}}}, {scripts: {postCustomization: [{}]}}, 3, []]": "not the name of a package",
	} {
		doc, report := config.Parse("test.yaml", []byte(text))
		Decode(doc, config.Options{})
		err := report.Err()
		if err == nil || !strings.Contains(err.Error()+problemPaths(report), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func problemPaths(r *config.Report) (paths string) {
	for _, p := range r.Problems() {
		paths += " " + p.Path
	}
	return paths
}
