package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/docgen"
)

// someFacts are base images of different kinds.
var someFacts = []*Facts{
	{Arch: "x86_64", Distro: "debian", Version: "13"}, {Arch: "aarch64", Distro: "debian", Version: "12"}, {Arch: "x86_64", Distro: "azurelinux", Version: "3.0"}, {Arch: "x86_64", Distro: "debian"},
}

// checkOpen renders a config that depends on the base image, and compares what it and what is rendered come to on each.
func checkOpen(t *testing.T, dir string, o Options) (text string) {
	t.Helper()
	top := filepath.Join(dir, "top.yaml")
	r, err := Load(top, &Files{Dir: dir}, o)
	if err != nil || r.Report.Failed() || !r.Waiting {
		t.Fatalf("%v %v: it does not depend on the image", err, r.Report.Err())
	}
	data, _, err := r.Render(Rendering{Dir: dir, Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	flat := filepath.Join(dir, "flat.yaml")
	if err := os.WriteFile(flat, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Load(flat, &Files{Dir: dir}, Options{})
	if err != nil || again.Report.Failed() {
		t.Fatalf("rendered as what is not valid: %v %v\n%s", err, again.Report.Err(), data)
	}
	if twice, _, err := again.Render(Rendering{Dir: dir, Secrets: true}); err != nil || string(twice) != string(data) {
		t.Errorf("rendered\n%s\nand again\n%s\n%v", data, twice, err)
	}
	if d := Diff(r, again); len(d) > 0 {
		t.Errorf("rendered, it differs: %v", d)
	}
	for _, f := range someFacts {
		o.Facts = f
		one, err1 := Load(top, &Files{Dir: dir}, o)
		two, err2 := Load(flat, &Files{Dir: dir}, Options{Facts: f})
		if err1 != nil || err2 != nil || two.Waiting || one.Report.Failed() != two.Report.Failed() {
			t.Fatalf("%+v: %v, %v\n%v\n%v\n%s", f, err1, err2, one.Report.Err(), two.Report.Err(), data)
		}
		if one.Report.Failed() {
			continue
		}
		if d := Diff(one, two); len(d) > 0 {
			t.Errorf("%+v: %v\n%s", f, d, data)
		}
	}
	return string(data)
}

// TestRenderedConditions: what is rendered without knowing the base image makes the same run on every one.
func TestRenderedConditions(t *testing.T) {
	t.Parallel()
	const vars = "variables: {role: {type: enum, values: [web, db], default: web}, n: {type: int, default: 3}, b: {type: bool, default: true}}\n"
	const use = "os: {hostname: \"${{ role }}-${{ n }}\", packages: {updateExistingPackages: \"${{ b }}\", install: [base]}}\n"
	for name, c := range map[string]struct {
		text string
		o    Options
		want string
	}{
		"an include":         {vars + "include: [{when: {distro: debian}, config: {os: {hostname: d, packages: {install: [a]}}}}]\n" + use, Options{}, "when: distro == \"debian\"\n"},
		"an order":           {vars + "include:\n- {config: {os: {packages: {install: [x, y]}}}}\n- {when: {distro: debian}, config: {os: {packages: {install: [!remove x]}}}}\n- {config: {os: {packages: {install: [!remove y, z]}}}}\n- {when: {arch: amd64}, config: {os: {packages: !replace {install: [only]}}}}\n" + use, Options{}, "!remove"},
		"what is known goes": {vars + "include: [{when: \"role == 'web' && (n > 5 || distro == 'debian') && !(version < '13')\", config: {os: {packages: {install: [a]}}}}]\n" + use, Options{}, "when: (distro == \"debian\") && !(version < \"13\")\n"},
		"a mapping":          {vars + "include: [{when: {role: web, distro: [debian, ubuntu], profile: p}, config: {os: {packages: {install: [a]}}}}]\n" + use, Options{Profiles: []string{"p"}}, "when: (distro == \"debian\") || (distro == \"ubuntu\")\n"},
		"items":              {vars + use[:len(use)-2] + ", groups: [{name: g, when: \"distro == 'debian' && n == 3\"}, {name: h, when: \"role == 'db' && distro == 'debian'\"}, {name: i}]}\n", Options{}, "- name: g\n        when: distro == \"debian\"\n"},
		"a profile":          {vars + use + "profiles: {p: {when: \"version >= '13'\", os: {hostname: new}}, q: {os: {groups: [{name: g}]}}}", Options{Profiles: []string{"p", "q"}}, "when: version >= \"13\"\n"},
		"identities":         {vars + "include: [{when: {distro: debian}, config: {os: {users: [{name: u, uid: 5}]}}}]\nos: {hostname: \"${{ role }}\", users: [{name: u, secondaryGroups: [\"g${{ n }}\"], when: arch == 'amd64'}, {name: v}], packages: {updateExistingPackages: \"${{ b }}\"}}", Options{}, "config:"},
		"texts":              {vars + use[:len(use)-2] + ", additionalFiles: [{destination: /f, content: \"$${{ x }}\", when: distro == 'debian'}, {destination: /g, content: \"$$${{ x }} ${{ n }}\"}]}\n", Options{}, "$${{ x }}"},
		"passwords":          {vars + use[:len(use)-2] + ", users: [{name: a, password: {type: plain-text, value: hunter22}, when: distro == 'debian'}]}\n", Options{}, "hunter22"},
		"an empty condition": {vars + "include: [{when: \"distro == 'debian' || b\", config: {os: {groups: [{name: g}]}}}, {when: {distro: x}, config: {os: {groups: [{name: h}]}}}]\n" + use, Options{}, "name: g"},
		"paths":              {vars + "include: [d/a.yaml]\n" + use, Options{}, "source: d/f\n"},
	} {
		dir := tree(t, set{"top.yaml": c.text, "d/a.yaml": "include: [{when: {distro: debian}, config: {os: {additionalFiles: [{source: f, destination: /f}]}}}]", "d/f": ""})
		if text := checkOpen(t, dir, c.o); !strings.Contains(text, c.want) {
			t.Errorf("%s: want %q in\n%s", name, c.want, text)
		}
	}
}

// TestDiffOfConditions: configs differ that differ only in what a condition asks, or brings.
func TestDiffOfConditions(t *testing.T) {
	t.Parallel()
	const one = "include: [{when: {distro: debian}, config: {os: {packages: {install: [a]}}}}]\nos: {groups: [{name: g, when: arch == 'amd64'}]}"
	dir := tree(t, set{"a.yaml": one, "same.yaml": "# other words\n" + one, "when.yaml": strings.Replace(one, "debian", "ubuntu", 1), "what.yaml": strings.Replace(one, "[a]", "[b]", 1), "item.yaml": strings.Replace(one, "amd64", "arm64", 1), "none.yaml": "os: {groups: [{name: g}]}"})
	for name, want := range map[string]bool{"same.yaml": false, "when.yaml": true, "what.yaml": true, "item.yaml": true, "none.yaml": true} {
		if d := Diff(load(t, dir, "a.yaml"), load(t, dir, name)); len(d) > 0 != want {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// TestGivenFacts: single facts that the user gives are carried out, and the others stay.
func TestGivenFacts(t *testing.T) {
	t.Parallel()
	dir := tree(t, set{"top.yaml": "os: {groups: [{name: g, when: \"distro == 'debian' && version == '13'\"}, {name: h, when: distro == 'ubuntu'}]}\nprofiles: "})
	text, report := rendered(t, dir, Options{Given: []string{"distro=debian"}})
	if !strings.Contains(text, "when: version == \"13\"") || strings.Contains(text, "name: h") {
		t.Errorf("%s%s", text, report)
	}
	if text, report := rendered(t, dir, Options{Given: []string{"distro=debian", "version=13"}}); strings.Contains(text, "when") || !strings.Contains(text, "name: g") {
		t.Errorf("%s%s", text, report)
	}
	if _, report := rendered(t, dir, Options{Given: []string{"distor=debian", "x"}}); !strings.Contains(report, "--fact distor=debian: error: there is no fact distor") || !strings.Contains(report, "did you mean \"distro\"?") || !strings.Contains(report, "--fact x: error: this says nothing") {
		t.Error(report)
	}
}

// TestDocumentedExampleIsRendered: the config of docs/composition.md, with files beside it that it names.
func TestDocumentedExampleIsRendered(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/composition.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range docgen.Examples(string(page)) {
		if !strings.Contains(text, "profiles:") {
			continue
		}
		dir := tree(t, set{"top.yaml": text, "common.yaml": "os: {timezone: UTC}", "azure.yaml": "os: {services: {enable: [walinuxagent]}}", "roles/web.yaml": "os: {packages: {install: [nginx]}}", "roles/db.yaml": "os: {packages: {install: [postgresql]}}"})
		if got := checkOpen(t, dir, Options{Profiles: []string{"debug"}, Set: []string{"role=db"}}); !strings.Contains(got, "postgresql") || !strings.Contains(got, "when: (distro == \"azurelinux\") && (version < \"4\")") {
			t.Error(got)
		}
		return
	}
	t.Error("there is no example")
}
