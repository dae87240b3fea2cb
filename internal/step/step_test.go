package step

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/feature/history"
	"imagecustomizer/internal/machine"
)

// secrets are texts that no description, plan or history may hold.
var secrets = []string{"hunter2", "ssh-ed25519", "environment-value", "echo inline", "file text"}

const secretConfig = `
os:
  hostname: h
  groups: [{name: g, gid: 5}]
  users:
  - {name: a, password: {type: plain-text, value: hunter2}, sshPublicKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w], secondaryGroups: [g]}
  additionalFiles: [{content: file text, destination: /f}]
  services: {enable: [s]}
  modules: [{name: m, loadMode: always, options: {o: v}}]
  kernelCommandLine: {extraCommandLine: [quiet]}
  packages: {install: [p]}
scripts:
  postCustomization: [{content: echo inline, environmentVariables: {K: environment-value}}]
  finalizeCustomization: [{content: echo inline, name: last}]
`

func TestPlanOrderAndSecrets(t *testing.T) {
	t.Parallel()
	c := featuretest.Parse[Config](t, secretConfig)
	p, problems := Plan(c, featuretest.DebianFacts, feature.Inputs{ToolVersion: "1", Now: time.Unix(0, 0), UUID: "u"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var names []string
	for _, s := range p {
		names = append(names, s.Name())
	}
	want := strings.Fields("dns.override packages check.needs hostname groups.add users.change files.write services modules record.release record.history kernel-arguments dns.refresh scripts.postCustomization dns.restore scripts.finalizeCustomization check.kernel check.space")
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m := featuretest.Tree(t, map[string]string{"usr/x": ""})
	record := history.WriteHistory{Describe: func() (map[string]any, error) { return DescribeConfig(c) }, Version: "1", Time: time.Unix(0, 0), UUID: "u"}
	featuretest.MustRun(t, m, record, record)
	for _, s := range secrets {
		if strings.Contains(string(text), s) {
			t.Errorf("the plan shows %q", s)
		}
		if strings.Contains(featuretest.Read(t, m, history.HistoryFile), s) {
			t.Errorf("the history holds %q", s)
		}
	}
	var entries []history.HistoryEntry
	if err := json.Unmarshal([]byte(featuretest.Read(t, m, history.HistoryFile)), &entries); err != nil || len(entries) != 2 || entries[0].ImageUUID != "u" {
		t.Errorf("%d entries: %v", len(entries), err)
	}
}

func TestPlanProblemsAllAtOnce(t *testing.T) {
	t.Parallel()
	facts := &machine.Facts{Distro: &distro.Distro{Name: "X"}, Boot: boot.Scheme{Kind: boot.None}}
	_, problems := Plan(featuretest.Parse[Config](t, secretConfig), facts, feature.Inputs{})
	var text []string
	for _, p := range problems {
		text = append(text, p.Text)
	}
	slices.Sort(text)
	all := strings.Join(text, "\n")
	for _, want := range []string{"no package manager", "no boot loader configuration"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}
