package compose

import (
	"fmt"
	"strings"
	"testing"
)

// TestMistakesOfParts: each is reported where it stands, or as the flag that makes it, and nothing else is.
func TestMistakesOfParts(t *testing.T) {
	t.Parallel()
	one := func(text string) set { return set{"top.yaml": text} }
	with := func(a, top string) set { return set{"a.yaml": a, "top.yaml": top} }
	v := "variables: {v: {type: string, default: x}}\n"
	many := one("include:\n")
	for i := range maxFiles {
		many["top.yaml"] += fmt.Sprintf("- m%d.yaml\n", i)
		many[fmt.Sprintf("m%d.yaml", i)] = "os: {hostname: x}"
	}
	for name, c := range map[string]struct {
		files set
		o     Options
		want  []string
	}{
		"no such file":           {one("include:\n- gone.yaml"), Options{}, []string{"top.yaml:2:3: error: there is no file gone.yaml to include"}},
		"itself":                 {one("include: [top.yaml]"), Options{}, []string{"top.yaml:1:11: error: the includes lead in a circle: top.yaml -> top.yaml"}},
		"a circle":               {with("include: [{path: b.yaml}]", "include: [a.yaml]").and("b.yaml", "include: [d/../a.yaml]").and("d/x", ""), Options{}, []string{"b.yaml:1:11: error: the includes lead in a circle: a.yaml -> b.yaml -> a.yaml"}},
		"a circle by a link":     {with("include: [link.yaml]", "include: [a.yaml]").and("link.yaml", "-> top.yaml"), Options{}, []string{"a.yaml:1:11: error: the includes lead in a circle: top.yaml -> a.yaml -> top.yaml"}},
		"twice under conditions": {with("os: {hostname: x}", "include:\n- {path: a.yaml, when: profile.p}\n- {path: a.yaml, when: \"!profile.p\"}\nos: {groups: [{name: g}]}\nprofiles: {p: }"), Options{}, []string{"top.yaml:3:10: error: a.yaml is included before under a condition"}},
		"too many":               {many, Options{}, []string{"top.yaml:201:3: error: cannot read m199.yaml: the config is made of more than 200 files"}},
		"no path":                {one("include: [{when: {profile: x}}]"), Options{}, []string{"top.yaml:1:11: error: an include has either a path or a config"}},
		"path and config":        {with("", "include: [{path: a.yaml, config: {os: {hostname: x}}}]"), Options{}, []string{"top.yaml:1:11: error: an include has either"}},
		"unknown key":            {with("", "include: [{path: a.yaml, wehn: {profile: x}}]"), Options{}, []string{"top.yaml:1:26: error: unknown key \"wehn\""}},
		"base configs too":       {with("", "include: [a.yaml]\nbaseConfigs: [{path: a.yaml}]"), Options{}, []string{"top.yaml:2:1: error: a file has either baseConfigs or include"}},
		"base in an include":     {with("baseConfigs: [{path: top.yaml}]", "include: [a.yaml]"), Options{}, []string{"a.yaml:1:1: error: a file that is included cannot have baseConfigs"}},
		"include in a base":      {with("include: [top.yaml]", "baseConfigs: [{path: a.yaml}]"), Options{}, []string{"a.yaml:1:1: error: a base config cannot have include"}},

		"a typo that a later file hides":      {with("os: {selinux: {mode: enforcin}}", "include: [a.yaml]\nos: {selinux: {mode: permissive}}"), Options{}, []string{"a.yaml:1:22: error: mode: \"enforcin\" is not allowed"}},
		"a typo in a profile not selected":    {one("profiles: {p: {os: {hostnam: x}}}"), Options{}, []string{"top.yaml:1:21: error: unknown key \"hostnam\""}},
		"a typo in what is not included":      {with("os: {hostnam: x}", "include: [{path: a.yaml, when: {profile: p}}]"), Options{}, []string{"a.yaml:1:6: error: unknown key \"hostnam\""}},
		"of the whole, at the part":           {with("os: {users: [{name: u, uid: 5}]}", "include: [a.yaml]\nos: {users: [{name: v, uid: 5}]}"), Options{}, []string{"top.yaml:2:29: error: 5 is in this list twice"}},
		"what a profile takes away":           {one("os: {additionalFiles: [{content: a, destination: /a}]}\nprofiles: {p: {os: {additionalFiles: [!replace {destination: /a}]}}}"), Options{Profiles: []string{"p"}}, []string{"top.yaml:2:39: error: the file has neither source nor content"}},
		"enabled and disabled":                {with("os: {services: {enable: [s]}}", "include: [a.yaml]\nos: {services: {disable: [s]}}"), Options{}, []string{"top.yaml:2:27: error: s is to be enabled and disabled"}},
		"removes what is not there":           {with("os: {packages: {install: [a]}}", "include: [a.yaml]\nos: {packages: {install: [!remove b]}}"), Options{}, []string{"top.yaml:2:27: error: !remove b: the list has no such item"}},
		"a profile that is not there":         {one("profiles: {debug: {os: {hostname: x}}}"), Options{Profiles: []string{"debgu"}}, []string{"--profile debgu: error: there is no profile debgu: did you mean \"debug\"?"}},
		"a profile without profiles":          {one("os: {hostname: x}"), Options{Profiles: []string{"p"}}, []string{"top.yaml: error: --profile, --set, --set-file and --vars are for a config with variables"}},
		"a profile misspelt in a condition":   {with("", "profiles: {azure: {os: {hostname: x}}}\ninclude: [{path: a.yaml, when: {profile: azrue}}]"), Options{}, []string{"top.yaml:2:42: error: there is no profile azrue"}},
		"a profile misspelt in an expression": {one("profiles: {azure: {os: {hostname: x}}}\nos: {groups: [{name: g, when: profile.azuer}]}"), Options{}, []string{"top.yaml:2:31: error: there is no profile azuer: did you mean \"azure\"?"}},
		"a profile in a profile":              {one("profiles: {p: {include: [x]}}"), Options{}, []string{"top.yaml:1:16: error: a profile cannot have include"}},

		"undefined":              {one(v + "os: {hostname: \"${{ v }}${{ w }}\"}"), Options{}, []string{"top.yaml:2:16: error: there is no variable \"w\": did you mean \"v\"?"}},
		"unused":                 {one(v), Options{}, []string{"top.yaml:1:13: error: the variable v is not used"}},
		"unused, maybe":          {one(v+"include: [\"${{ v }}.yaml\"]\nos: {hostname: h}").and("x.yaml", "variables: {w: {type: int, default: 1}}"), Options{}, []string{"x.yaml:1:13: warning: the variable w is not used"}},
		"no value":               {one("variables: {v: {type: string}}\nos:\n  hostname: ${{ v }}\n  groups: [{name: \"${{ v }}\"}]"), Options{}, []string{"top.yaml:3:13: error: the variable v has no value: give one with --set v=..."}},
		"no type":                {one("variables: {v: {default: x}}\nos: {hostname: \"${{ v }}\"}"), Options{}, []string{"top.yaml:1:13: error: the variable v has no type"}},
		"an unknown type":        {one("variables: {v: {type: number, default: 1}}\nos: {hostname: \"${{ v }}\"}"), Options{}, []string{"top.yaml:1:23: error: type: \"number\" is not allowed"}},
		"another type elsewhere": {with("variables: {v: {type: int, default: 1}}\nos: {users: [{name: u, uid: \"${{ v }}\"}]}", "variables: {v: {type: string}}\ninclude: [a.yaml]"), Options{}, []string{"top.yaml:1:13: error: the variable v is of type string here, and of type int in a.yaml, line 1"}},
		"a default of another type": {one("variables:\n  i: {type: int, default: x}\n  b: {type: bool, default: yes}\n  z: {type: size, default: 8}\n  e: {type: enum, values: [web], default: wbe}\n  l: {type: list, of: int, default: [1, x]}\n  s: {type: string, pattern: a+, default: baa}\n  m: {type: int, max: 3, default: 4}\n" +
			"os: {additionalFiles: [{content: \"${{ i }}${{ b }}${{ z }}${{ e }}${{ s }}${{ m }}\", destination: /f}], kernelCommandLine: {extraCommandLine: [a, \"${{ l }}\"]}}"), Options{}, []string{
			"top.yaml:2:27: error: \"x\" is no value of i: it is a whole number", "top.yaml:3:28: error: \"yes\" is no value of b", "top.yaml:4:28: error: \"8\" is no value of z",
			"top.yaml:5:43: error: \"wbe\" is no value of e: did you mean \"web\"?", "top.yaml:6:41: error: \"x\" is no value of l", "top.yaml:7:43: error: \"baa\" is no value of s: it must match a+", "top.yaml:8:35: error: \"4\" is no value of m: it is out of range",
		}},
		"a bad declaration": {one("variables: {e: {type: enum}, n: {type: string, min: 3}, distro: {type: string}, p: {type: string, pattern: \"(\"}, 1x: {type: int}, z: }"), Options{}, []string{
			"top.yaml:1:13: error: the variable e is an enum without values", "top.yaml:1:30: error: the variable n has min or max", "top.yaml:1:57: error: \"distro\" cannot be the name", "top.yaml:1:81: error: the pattern of p", "top.yaml:1:114: error: \"1x\" cannot be the name", "top.yaml:1:131: error: the variable z has no type",
		}},
		"--set of nothing declared":  {one(v + "os: {hostname: \"${{ v }}\"}"), Options{Set: []string{"w=1", "x"}, SetFiles: []string{"v=gone", "y"}}, []string{"--set w: error: no variable w is declared", "--set x: error: this sets nothing", "--set-file v=gone: error: cannot read the file", "--set-file y: error: this sets nothing"}},
		"--set of another type":      {one("variables: {v: {type: int}}\nos: {users: [{name: u, uid: \"${{ v }}\"}]}"), Options{Set: []string{"v=x"}}, []string{"--set v: error: \"x\" is no value of v"}},
		"a value that does not fit":  {one("variables: {v: {type: string}}\nos: {hostname: \"${{ v }}\"}"), Options{Set: []string{"v=a b"}}, []string{"top.yaml:2:16: error: hostname: \"a b\" is not a host name"}},
		"--vars of nothing declared": {one(v+"os: {hostname: \"${{ v }}\"}").and("vars.yaml", "vv: 1\nv: x"), Options{Vars: []string{"vars.yaml"}}, []string{"vars.yaml:1:5: warning: no variable vv is declared"}},
		"--vars of another type":     {one("variables: {v: {type: bool}}\nos: {packages: {updateExistingPackages: \"${{ v }}\"}}").and("vars.yaml", "v: maybe"), Options{Vars: []string{"vars.yaml"}}, []string{"vars.yaml:1:4: error: \"maybe\" is no value of v"}},

		"not closed":                      {one(v + "os: {hostname: \"${{ v }\"}"), Options{}, []string{"top.yaml:2:16: error: ${{ is not closed by }}", "top.yaml:1:13: error: the variable v is not used"}},
		"no expression":                   {one(v + "os: {hostname: \"${{ v v }}${{ v == }}${{ (v }}${{ }}\"}"), Options{}, []string{"top.yaml:2:16: error: \"v\" does not belong behind an expression", "error: the expression ends too early", "error: a ( is not closed", "error: the variable v is not used"}},
		"a fact in a value":               {one(v + "os: {hostname: \"${{ v }}-${{ distro }}\"}"), Options{}, []string{"top.yaml:2:16: error: distro is a fact of the base image"}},
		"types that differ":               {one(v + "os: {groups: [{name: g, when: v == 1}, {name: h, when: v}, {name: i, when: \"v < 'a'\"}]}"), Options{}, []string{"top.yaml:2:31: error: 1 and v are of different types", "top.yaml:2:56: error: when wants true or false", "top.yaml:2:76: error: < compares numbers and versions"}},
		"never equal":                     {one("variables: {e: {type: enum, values: [web, db], default: db}}\nos: {groups: [{name: g, when: \"e == 'wbe'\"}]}\nprofiles: {p: {when: {e: dbs}, os: {hostname: x}}}"), Options{}, []string{"top.yaml:2:31: error: e is never \"wbe\": did you mean \"web\"?", "top.yaml:3:23: error: e is never \"dbs\": did you mean \"db\"?"}},
		"a list in a text":                {one("variables: {l: {type: list, default: [a]}}\nos: {hostname: \"x${{ l }}\"}"), Options{}, []string{"top.yaml:2:16: error: l is a list, which cannot stand within a text"}},
		"a key":                           {one(v + "scripts: {postCustomization: [{content: \"${{ v }}\", environmentVariables: {\"${{ v }}\": x}}]}"), Options{}, []string{"top.yaml:2:76: error: a key cannot be an expression"}},
		"the environment, undeclared":     {one(v + "os: {hostname: \"${{ v }}${{ env.HOME }}\"}"), Options{}, []string{"top.yaml:2:16: error: the environment variable HOME is not declared"}},
		"the environment, not public":     {one("variables: {v: {type: string, from: {env: HOME}}}\nos: {hostname: \"${{ v }}\"}"), Options{}, []string{"top.yaml:1:13: error: what the environment holds may be a secret"}},
		"the environment, elsewhere":      {with("variables: {v: {type: string, public: true, from: {env: HOME}}}\nos: {hostname: \"${{ v }}\"}", "include: [a.yaml]"), Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may read the environment"}},
		"the environment, without a type": {with("variables: {v: {from: {env: HOME}, public: true}}", "variables: {v: {type: string, default: x}}\ninclude: [a.yaml]\nos: {hostname: \"${{ v }}\"}"), Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may read the environment"}},
		"the disk by a fact":              {one("include: [{when: {distro: debian}, config: {storage: {resizeDisk: auto}}}]\nprofiles: "), Options{}, []string{"top.yaml:1:45: error: storage cannot depend on what the base image is"}},
		"a bomb":                          {with("os: {users: [{name: u}]}\nx: &a {k: v}\n"+strings.ReplaceAll(bomb(), "a: &a", "z: &z"), "include: [a.yaml]\nos: {hostname: x}"), Options{}, nil},
	} {
		dir := tree(t, c.files)
		_, report := rendered(t, dir, c.o)
		for _, w := range c.want {
			if !strings.Contains(report, w) {
				t.Errorf("%s: want %q in\n%s", name, w, report)
			}
		}
		if got := strings.Count(report, ": error: ") + strings.Count(report, ": warning: "); got != len(c.want) && c.want != nil || got == 0 {
			t.Errorf("%s: %d problems, want %d:\n%s", name, got, len(c.want), report)
		}
	}
}

// set is a set of files.
type set map[string]string

func (s set) and(name, text string) set {
	s[name] = text
	return s
}
