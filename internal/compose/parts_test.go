package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rendered is the config of these files, flat, or what is wrong with it.
func rendered(t *testing.T, dir string, o Options) (text, report string) {
	t.Helper()
	o.CheckFiles = true
	r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.Report.Render(&b, false)
	report = strings.ReplaceAll(b.String(), dir+"/", "")
	if r.Report.Failed() {
		return "", report
	}
	data, _, err := r.Render(Rendering{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return string(data), report
}

// TestParts: what files, profiles and variables come to, flat.
func TestParts(t *testing.T) {
	t.Parallel()
	azl := &Facts{Arch: "x86_64", Distro: "azurelinux", Version: "3.0"}
	for name, c := range map[string]struct {
		files map[string]string
		o     Options
		want  string
	}{
		"a file before what includes it": {
			map[string]string{"a.yaml": "os: {hostname: a, modules: [{name: m}]}", "top.yaml": "include: [a.yaml]\nos: {hostname: top}"}, Options{},
			"os:\n  hostname: top\n  modules:\n    - name: m\n",
		},
		"lists are appended to, in the order of the includes": {
			map[string]string{"a.yaml": "os: {packages: {install: [a]}}", "b.yaml": "os: {packages: {install: [b, a]}}", "top.yaml": "include: [a.yaml, path: b.yaml]\nos: {packages: {install: [c]}}"}, Options{},
			"os:\n  packages:\n    install:\n      - a\n      - b\n      - a\n      - c\n",
		},
		"a file that is reached twice counts once": {
			map[string]string{"a.yaml": "include: [c.yaml]", "b.yaml": "include: [link.yaml]", "c.yaml": "os: {packages: {install: [c]}}", "link.yaml": "-> c.yaml", "top.yaml": "include: [a.yaml, b.yaml]"}, Options{},
			"os:\n  packages:\n    install:\n      - c\n",
		},
		"items of one name are one item": {
			map[string]string{"a.yaml": "os: {users: [{name: u, uid: 5, secondaryGroups: [g]}, {name: v}], groups: [{name: g}]}", "top.yaml": "include: [a.yaml]\nos: {users: [{name: w}, {name: u, uid: 6, secondaryGroups: [h]}]}"}, Options{},
			"os:\n  users:\n    - name: u\n      uid: 6\n      secondaryGroups:\n        - g\n        - h\n    - name: v\n    - name: w\n  groups:\n    - name: g\n",
		},
		"a file is known by its destination": {
			map[string]string{"a.yaml": "os: {additionalFiles: [{content: a, destination: /x, permissions: \"600\"}]}", "top.yaml": "include: [a.yaml]\nos: {additionalFiles: [{content: b, destination: /x}]}"}, Options{},
			"os:\n  additionalFiles:\n    - content: b\n      destination: /x\n      permissions: \"600\"\n",
		},
		"!replace discards what came before": {
			map[string]string{"a.yaml": "os: {packages: {install: [a], remove: [r]}, kernelCommandLine: {extraCommandLine: [k]}, services: {enable: [s]}}", "top.yaml": "include: [a.yaml]\nos: {packages: !replace {install: [b]}, kernelCommandLine: {extraCommandLine: !replace [l]}, services: !replace {}}"}, Options{},
			"os:\n  packages:\n    install:\n      - b\n  kernelCommandLine:\n    extraCommandLine:\n      - l\n",
		},
		"!remove takes an item out": {
			map[string]string{"a.yaml": "os: {packages: {install: [a, b]}, users: [{name: u}, {name: v}], modules: [{name: m}]}", "top.yaml": "include: [a.yaml]\nos: {packages: {install: [!remove a, c]}, users: [!remove u], modules: [!remove m]}"}, Options{},
			"os:\n  packages:\n    install:\n      - b\n      - c\n  users:\n    - name: v\n",
		},
		"paths keep the directory of their file": {
			map[string]string{"d/a.yaml": "os: {additionalFiles: [{source: f, destination: /f}], additionalDirs: [{source: ., destination: /d}]}", "d/f": "", "top.yaml": "include: [d/a.yaml]\nos: {additionalFiles: [{source: g, destination: /g}]}", "g": ""}, Options{},
			"os:\n  additionalFiles:\n    - source: d/f\n      destination: /f\n    - source: g\n      destination: /g\n  additionalDirs:\n    - source: d\n      destination: /d\n",
		},
		"profiles come last, in the order of the flags": {
			map[string]string{"a.yaml": "profiles: {p: {os: {hostname: inner, packages: {install: [i]}}}}", "top.yaml": "include: [a.yaml]\nos: {hostname: top}\nprofiles:\n  p: {os: {packages: {install: [p]}}}\n  q: {os: {hostname: q}}\n  r: "}, Options{Profiles: []string{"q", "p", "r", "q"}},
			"os:\n  hostname: inner\n  packages:\n    install:\n      - i\n      - p\n",
		},
		"no profile is selected": {map[string]string{"top.yaml": "os: {hostname: top}\nprofiles: {p: {os: {hostname: p}}}"}, Options{}, "os:\n  hostname: top\n"},
		"variables of all types": {
			map[string]string{"v": "", "top.yaml": "variables:\n  s: {type: string, default: 007}\n  i: {type: int, default: 5}\n  b: {type: bool, default: true}\n  z: {type: size, default: 8G}\n  p: {type: path, default: v}\n  e: {type: enum, values: [web, db], default: db}\n  l: {type: list, default: [x, y]}\n" +
				"storage: {resizeDisk: {size: \"${{ z }}\"}}\nos:\n  hostname: h${{ s }}-${{ e }}\n  users: [{name: u, uid: \"${{ i }}\"}]\n  packages: {updateExistingPackages: \"${{ b }}\", install: [w, \"${{ l }}\"], remove: \"${{ l }}\"}\n  additionalFiles: [{source: \"${{ p }}\", destination: /v}, {content: \"${{ s }} ${{ b }} ${{ i }}\", destination: /t}]\n"}, Options{},
			"storage:\n  resizeDisk:\n    size: 8G\nos:\n  hostname: h007-db\n  users:\n    - name: u\n      uid: 5\n  packages:\n    updateExistingPackages: true\n    install:\n      - w\n      - x\n      - \"y\"\n    remove:\n      - x\n      - \"y\"\n  additionalFiles:\n    - source: DIR/v\n      destination: /v\n    - content: 007 true 5\n      destination: /t\n",
		},
		"a text that looks like a number stays a text": {
			map[string]string{"top.yaml": "variables: {n: {type: string, default: \"12\"}}\nos: {additionalFiles: [{content: \"${{ n }}\", destination: /n}]}"}, Options{},
			"os:\n  additionalFiles:\n    - content: \"12\"\n      destination: /n\n",
		},
		"an empty list is nothing": {
			map[string]string{"top.yaml": "variables: {l: {type: list, default: []}}\nos: {hostname: x, packages: {install: \"${{ l }}\", remove: [\"${{ l }}\", a]}}"}, Options{Set: []string{"l="}},
			"os:\n  hostname: x\n  packages:\n    remove:\n      - a\n",
		},
		"the command line wins over files of values, these over includers, these over defaults": {
			map[string]string{
				"a.yaml":   "variables: {w: {type: string, default: a}, x: {type: string, default: a}, y: {type: string, default: a}, z: {type: string, default: a}}\nos: {kernelCommandLine: {extraCommandLine: [\"${{ w }}${{ x }}${{ y }}${{ z }}\"]}}",
				"top.yaml": "include: [a.yaml]\nvariables: {x: {default: top}, y: {default: top}, z: {default: top}}", "v.yaml": "y: vars\nz: vars",
			}, Options{Set: []string{"z=one", "z=set"}, Vars: []string{"v.yaml"}},
			"os:\n  kernelCommandLine:\n    extraCommandLine:\n      - atopvarsset\n",
		},
		"a later file of values wins, and a file may be a value": {
			map[string]string{"top.yaml": "variables: {a: {type: string}, b: {type: string}}\nos: {additionalFiles: [{content: \"${{ a }}${{ b }}\", destination: /f}]}", "1.yaml": "a: one", "2.yaml": "a: two", "f": "text\n"}, Options{Vars: []string{"1.yaml", "2.yaml"}, SetFiles: []string{"b=f"}},
			"os:\n  additionalFiles:\n    - content: twotext\n      destination: /f\n",
		},
		"the path of an include may be an expression": {
			map[string]string{"roles/web.yaml": "os: {hostname: web}", "top.yaml": "variables: {role: {type: enum, values: [web, db], default: db}}\ninclude: [{path: \"roles/${{ role }}.yaml\"}]"}, Options{Set: []string{"role=web"}},
			"os:\n  hostname: web\n",
		},
		"an includer sets the path of an include below": {
			map[string]string{"m.yaml": "variables: {r: {type: string, default: none}}\ninclude: [\"${{ r }}.yaml\"]", "x.yaml": "os: {hostname: x}", "top.yaml": "variables: {r: {type: string, default: x}}\ninclude: [m.yaml]"}, Options{},
			"os:\n  hostname: x\n",
		},
		"conditions of includes": {
			map[string]string{
				"a.yaml": "os: {packages: {install: [a]}}", "b.yaml": "os: {packages: {install: [b]}}", "c.yaml": "os: {packages: {install: [c]}}", "d.yaml": "os: {packages: {install: [d]}}",
				"top.yaml": "variables: {role: {type: enum, values: [web, db], default: web}, n: {type: int, default: 3}, f: {type: bool, default: false}}\ninclude:\n- {path: a.yaml, when: {profile: azure}}\n- {path: b.yaml, when: {role: [web, db], n: 3, f: false}}\n- {path: c.yaml, when: \"role == 'db' || n < 3\"}\n- {path: d.yaml, when: \"${{ !f && n >= 3 && profile.azure }}\"}",
			}, Options{Profiles: []string{"azure"}},
			"os:\n  packages:\n    install:\n      - a\n      - b\n      - d\n",
		},
		"a condition holds where all of it does": {
			map[string]string{
				"a.yaml": "os: {packages: {install: [a]}}", "b.yaml": "os: {packages: {install: [b]}}", "c.yaml": "os: {packages: {install: [c]}}",
				"top.yaml": "variables: {f: {type: bool, default: false}, n: {type: int, default: 3}}\ninclude:\n- {path: a.yaml, when: {f: true, n: 3}}\n- {path: c.yaml, when: {profile: azure}}\n- b.yaml\n- {path: b.yaml, when: {n: 3, f: false}}\nos: {groups: [{name: g, when: profile.azure}, {name: h, when: \"!profile.azure\"}]}",
			}, Options{},
			"os:\n  packages:\n    install:\n      - b\n  groups:\n    - name: h\n",
		},
		"conditions of list items and profiles": {
			map[string]string{"top.yaml": "variables: {f: {type: bool, default: false}}\nprofiles: {p: {when: f, os: {hostname: p}}, q: {when: \"!f\", os: {hostname: q}}}\nos:\n  groups: [{name: a, when: f}, {name: b, when: \"!f\"}]"}, Options{Profiles: []string{"q", "p"}},
			"os:\n  groups:\n    - name: b\n  hostname: q\n",
		},
		"facts": {
			map[string]string{"top.yaml": "profiles: {}\ninclude:\n- {when: {distro: azurelinux}, config: {os: {packages: {install: [a]}}}}\n- {when: \"version >= '3' && version < '3.1' && arch == 'amd64'\", config: {os: {packages: {install: [b]}}}}\n- {when: {arch: arm64}, config: {os: {packages: {install: [c]}}}}\nos: {groups: [{name: g, when: {distro: [debian, ubuntu]}}, {name: h, when: \"version == '3'\"}]}"}, Options{Facts: azl},
			"os:\n  packages:\n    install:\n      - a\n      - b\n  groups:\n    - name: h\n",
		},
		"what is escaped, and what is in no expression": {
			map[string]string{"top.yaml": "variables: {v: {type: string, default: x}}\nos: {additionalFiles: [{content: \"$${{ v }} ${{ v }} $${{ ${ {{ }} $v\", destination: /f}]}"}, Options{},
			"os:\n  additionalFiles:\n    - content: ${{ v }} x ${{ ${ {{ }} $v\n      destination: /f\n",
		},
		"no expressions in a file without variables": {
			map[string]string{"top.yaml": "os: {additionalFiles: [{content: \"${{ secrets.X }} $${{\", destination: /f}]}"}, Options{},
			"os:\n  additionalFiles:\n    - content: ${{ secrets.X }} $${{\n      destination: /f\n",
		},
		"an expression in a file that is included": {
			map[string]string{"a.yaml": "os: {hostname: \"${{ v }}\"}", "top.yaml": "variables: {v: {type: string, default: x}}\ninclude: [a.yaml]"}, Options{}, "os:\n  hostname: x\n",
		},
		"merge keys and aliases": {
			map[string]string{"a.yaml": "os:\n  users:\n  - &u {name: u, secondaryGroups: &g [\"${{ v }}\"]}\n  - {<<: *u, name: w}\n  groups: [{name: x}]", "top.yaml": "variables: {v: {type: string, default: x}}\ninclude: [a.yaml]\nos: {users: [{name: w, secondaryGroups: [y]}]}"}, Options{},
			"os:\n  users:\n    - name: u\n      secondaryGroups:\n        - x\n    - name: w\n      secondaryGroups:\n        - x\n        - \"y\"\n  groups:\n    - name: x\n",
		},
		"the environment": {
			map[string]string{"top.yaml": "variables: {h: {type: string, from: {env: COMPOSE_TEST_HOST}, public: true, default: d}}\nos: {hostname: \"${{ env.COMPOSE_TEST_HOST }}\"}"}, Options{}, "os:\n  hostname: d\n",
		},
	} {
		dir := tree(t, c.files)
		text, report := rendered(t, dir, c.o)
		if d := cmp.Diff(lines(strings.ReplaceAll(c.want, "DIR", dir)), lines(text)); d != "" {
			t.Errorf("%s:\n%s%s", name, d, report)
			continue
		}
		again := tree(t, c.files)
		if err := writeTop(again, text); err != nil {
			t.Fatal(err)
		}
		if twice, report := rendered(t, again, Options{}); twice != strings.ReplaceAll(text, dir, dir) {
			t.Errorf("%s: rendered again it is\n%s%s", name, twice, report)
		}
	}
}

// lines are those of a text, however they are indented.
func lines(text string) (list []string) {
	for l := range strings.Lines(text) {
		list = append(list, strings.TrimSpace(l))
	}
	return list
}

func writeTop(dir, text string) error {
	return os.WriteFile(filepath.Join(dir, "top.yaml"), []byte(text), 0o644)
}

// TestFactsThatAreNotKnown: what depends on them is left out, and known to be.
func TestFactsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	dir := tree(t, set{"top.yaml": "include:\n- {when: {distro: azurelinux}, config: {os: {packages: {install: [a]}, additionalFiles: [{source: f, destination: /f}]}}}\n" +
		"os: {hostname: x, groups: [{name: g, when: \"distro == 'x' || true\"}, {name: h, when: \"distro == 'x'\"}]}", "f": ""})
	files := &Files{Dir: dir}
	r, err := Load(dir+"/top.yaml", files, Options{CheckFiles: true})
	if err != nil || r.Report.Failed() {
		t.Fatal(err, r.Report.Err())
	}
	if !r.Waiting || len(r.Config.OS.Groups) != 1 || len(r.Maybe) != 1 || r.Maybe[0].OS.AdditionalFiles[0].Source.Resolved != dir+"/f" {
		t.Errorf("%+v %+v", r.Config.OS, r.Maybe)
	}
	if text, _, err := r.Render(Rendering{Dir: dir}); err != nil || strings.Count(string(text), "when: distro ==") != 2 {
		t.Errorf("it is rendered as if it did not depend on the base image: %v\n%s", err, text)
	}
	sources := &Sources{Top: dir + "/top.yaml", Files: *files}
	for distro, want := range map[string]int{"azurelinux": 1, "x": 2} {
		again, err := sources.With(&Facts{Distro: distro}, r)
		if err != nil || again.Report.Failed() || again.Waiting {
			t.Fatal(err, again.Report.Err())
		}
		if got := len(again.Config.OS.Groups); got != want || (distro == "azurelinux") != (len(again.Config.OS.Packages.Install) == 1) {
			t.Errorf("%s: %d groups, packages %v", distro, got, again.Config.OS.Packages.Install)
		}
	}
}

// TestDiffOfSecrets: two passwords differ, and neither is shown.
func TestDiffOfSecrets(t *testing.T) {
	t.Parallel()
	load := func(password string) *Result {
		dir := tree(t, map[string]string{"top.yaml": "os: {users: [{name: a, password: {type: plain-text, value: " + password + "}}]}"})
		r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got := Diff(load("secret-one"), load("secret-two"))
	if len(got) != 2 || strings.Contains(strings.Join(got, ""), "secret-") {
		t.Errorf("found %q", got)
	}
	if got := Diff(load("secret-one"), load("secret-one")); len(got) != 0 {
		t.Errorf("one config differs from itself: %q", got)
	}
}
