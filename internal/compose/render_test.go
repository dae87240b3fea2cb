package compose

import (
	"os"
	"strings"
	"testing"
)

// TestRenderedChains: a chain is one file where that is the same run, and stays a chain otherwise, with the reason.
func TestRenderedChains(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b, top string
		kept      string // the reason
	}{
		"flat":          {"os: {hostname: a, packages: {install: [x]}}", "os: {services: {disable: [s]}}", "os: {groups: [{name: g}], services: {enable: [r]}}", ""},
		"packages":      {"os: {packages: {install: [x]}}", "", "os: {packages: {remove: [x]}}", "os.packages of a.yaml and top.yaml are carried out file by file"},
		"accounts":      {"os: {users: [{name: u}]}", "os: {groups: [{name: g}]}", "", "os.groups and os.users of a.yaml and b.yaml"},
		"services":      {"os: {services: {disable: [s]}}", "os: {services: {enable: [s]}}", "", "one file enables s, and another disables it"},
		"modules":       {"os: {modules: [{name: a_b}]}", "", "os: {modules: [{name: a-b}]}", "two files have a-b"},
		"one directory": {"scripts: {postCustomization: [{content: cat /_imageconfigs/x}]}", "", "", ""},
	} {
		dir := tree(t, three(c.a, c.b, c.top))
		r := load(t, dir, "top.yaml")
		if err := r.Report.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, kept, err := r.Render(Rendering{Dir: dir})
		if err != nil || c.kept == "" && len(kept) > 0 || c.kept != "" && (len(kept) == 0 || !strings.Contains(kept[0], c.kept)) {
			t.Errorf("%s: %v, %q", name, err, kept)
			continue
		}
		if flat := !strings.Contains(string(text), "baseConfigs"); flat != (c.kept == "") {
			t.Errorf("%s: rendered as\n%s", name, text)
		}
		if err := os.WriteFile(dir+"/again.yaml", text, 0o644); err != nil {
			t.Fatal(err)
		}
		again := load(t, dir, "again.yaml")
		if err := again.Report.Err(); err != nil {
			t.Errorf("%s: not valid: %v\n%s", name, err, text)
		} else if d := Diff(r, again); c.kept == "" && len(d) > 0 {
			t.Errorf("%s: differs in %v", name, d)
		}
	}
}

// TestRenderedElsewhere: paths lead to the same files, and what cannot be said from there is refused.
func TestRenderedElsewhere(t *testing.T) {
	t.Parallel()
	dir := tree(t, set{"d/top.yaml": "include: [{path: x.yaml}]\nscripts: {postCustomization: [{path: s.sh}]}", "d/x.yaml": "os: {additionalFiles: [{source: f, destination: /f}]}", "d/f": "", "d/s.sh": "#!/bin/sh\n", "e/y": ""})
	r := load(t, dir, "d/top.yaml")
	if text, _, err := r.Render(Rendering{Dir: dir + "/d"}); err != nil || !strings.Contains(string(text), "source: f\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, _, err := r.Render(Rendering{Dir: dir + "/e"}); err == nil || !strings.Contains(err.Error(), "scripts: one of "+dir+"/d") {
		t.Errorf("%v", err)
	}
	dir = tree(t, set{"d/top.yaml": "include: [../x.yaml]", "x.yaml": "os: {additionalFiles: [{source: f, destination: /f}]}", "f": "", "e/y": ""})
	if text, _, err := load(t, dir, "d/top.yaml").Render(Rendering{Dir: dir + "/e"}); err != nil || !strings.Contains(string(text), "source: ../f\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestOriginsAreTrue: what stands at the origin of a value is what it comes from.
func TestOriginsAreTrue(t *testing.T) {
	t.Parallel()
	files := set{
		"a.yaml": "os:\n  hostname: replaced\n  users:\n  - {name: u, uid: 5}\n", "p.yaml": "profiles: {p: {os: {users: [{name: u, uid: 7}]}}}\n",
		"top.yaml": "variables: {v: {type: string, default: web}}\ninclude: [a.yaml, p.yaml]\nos:\n  hostname: ${{ v }}\n  kernelCommandLine: {extraCommandLine: [\"x=${{ v }}\"]}\n",
	}
	dir := tree(t, files)
	r, err := Load(dir+"/top.yaml", &Files{}, Options{Profiles: []string{"p"}})
	if err != nil || r.Report.Failed() {
		t.Fatal(err, r.Report.Err())
	}
	for pointer, want := range map[string]string{
		"/os/hostname": "top.yaml ${{ v }}", "/os/users/0/name": "p.yaml u", "/os/users/0/uid": "p.yaml 7", "/os/kernelCommandLine/extraCommandLine/0": "top.yaml \"x=${{ v }}\"",
	} {
		o := r.doc.Origins(dir)[pointer]
		name, text, _ := strings.Cut(want, " ")
		lines := strings.Split(files[o.File], "\n")
		if o.File != name || o.Line > len(lines) || !strings.HasPrefix(lines[o.Line-1][o.Column-1:], text) {
			t.Errorf("%s: %+v, want %s", pointer, o, want)
		}
	}
}

func TestDiffHidesPasswords(t *testing.T) {
	t.Parallel()
	dir := tree(t, set{"a.yaml": "os: {users: [{name: u, password: {type: plain-text, value: hunter22}}], hostname: a}", "b.yaml": "os: {users: [{name: u}], hostname: b}"})
	got := strings.Join(Diff(load(t, dir, "a.yaml"), load(t, dir, "b.yaml")), "\n")
	if strings.Contains(got, "hunter22") || !strings.Contains(got, "- os.users[0].password.value: (hidden)") || !strings.Contains(got, "- os.hostname: \"a\"") || !strings.Contains(got, "b.yaml:1)") {
		t.Error(got)
	}
	if d := Diff(load(t, dir, "a.yaml"), load(t, dir, "a.yaml")); len(d) > 0 {
		t.Error(d)
	}
}
