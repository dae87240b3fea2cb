package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretTop is a config that uses secrets in all ways.
const secretTop = `variables:
  role: {type: string, default: web}
  pw: {type: secret, from: {env: COMPOSE_TEST_PW}}
  key: {type: secret, from: {file: d/key.txt}, mayBeInImage: [/etc/key]}
  token: {type: secret, from: {command: [pass, show, "a b"]}, allowShort: true}
include: [a.yaml]
os:
  hostname: ${{ role }}
  users:
  - {name: u, password: {type: plain-text, value: "${{ pw }}"}}
  - {name: v, password: {type: plain-text, value: "${{ role }}-${{ key }}-$${{ x }}"}}
  additionalFiles: [{destination: /f, content: "$${{ x }}"}]
scripts:
  postCustomization: [{content: x, secrets: [token, pw]}]
`

// TestSecretVariables: a config names them until a run has their values, and is rendered with their declarations.
func TestSecretVariables(t *testing.T) {
	t.Parallel()
	dir := tree(t, set{"top.yaml": secretTop, "a.yaml": "os: {groups: [{name: g}]}", "e/x": "", "d/key.txt": "never read here"})
	top := filepath.Join(dir, "top.yaml")
	r, err := Load(top, &Files{Dir: dir}, Options{})
	if err != nil || r.Report.Failed() {
		t.Fatal(err, r.Report.Err())
	}
	var names []string
	for _, s := range r.Secrets {
		names = append(names, s.Name)
	}
	if strings.Join(names, " ") != "key pw token" || r.Secrets[0].From.File.Resolved != dir+"/d/key.txt" || r.Secrets[0].MayBeInImage[0] != "/etc/key" || !r.Secrets[2].AllowShort || r.Secrets[2].From.Command[2] != "a b" {
		t.Errorf("%+v", r.Secrets)
	}
	text, _, err := r.Render(Rendering{Dir: dir + "/e"})
	for _, want := range []string{
		"pw: {\"from\":{\"env\":\"COMPOSE_TEST_PW\"},\"type\":\"secret\"}\n", "key: {\"from\":{\"file\":\"../d/key.txt\"},\"mayBeInImage\":[\"/etc/key\"],\"type\":\"secret\"}\n",
		"\"command\":[\"pass\",\"show\",\"a b\"]", "value: ${{ pw }}\n", "value: web-${{ key }}-$${{ x }}\n", "content: $${{ x }}\n", "- token\n",
	} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("want %q in\n%s%v", want, text, err)
		}
	}
	flat := dir
	if err := os.WriteFile(dir+"/e/top.yaml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Load(filepath.Join(flat, "e/top.yaml"), &Files{Dir: flat}, Options{})
	if err != nil || again.Report.Failed() {
		t.Fatal(err, again.Report.Err())
	}
	if twice, _, err := again.Render(Rendering{Dir: flat + "/e"}); err != nil || string(twice) != string(text) {
		t.Errorf("%v: rendered again it is\n%s", err, twice)
	}
	with, err := Load(top, &Files{Dir: dir}, Options{Secrets: map[string]string{"pw": theSecret, "key": "$${{ k", "token": "t"}})
	if err != nil || with.Report.Failed() {
		t.Fatal(err, with.Report.Err())
	}
	users := with.Config.OS.Users
	if users[0].Password.Value != theSecret || users[1].Password.Value != "web-$${{ k-${{ x }}" {
		t.Errorf("%+v %+v", users[0].Password, users[1].Password)
	}
	if !strings.Contains(strings.Join(with.Report.Secrets(), "\n"), theSecret) {
		t.Error("the value is not hidden")
	}
	if d := Diff(r, again); len(d) > 0 {
		t.Error(d)
	}
}

// TestMistakesWithSecrets: a secret stands for itself in secret fields, and comes from the file on the command line.
func TestMistakesWithSecrets(t *testing.T) {
	t.Setenv("COMPOSE_TEST_PW", theSecret)
	const declared = "variables: {s: {type: secret, from: {env: COMPOSE_TEST_PW}}, r: {type: string, default: x}}\n"
	const used = "os: {hostname: \"${{ r }}\", users: [{name: u, password: {type: plain-text, value: \"${{ s }}\"}}]}\n"
	for name, c := range map[string]struct {
		files set
		o     Options
		want  []string
	}{
		"in a host name":       {set{"top.yaml": declared + used + "profiles: {p: {os: {hostname: \"${{ s }}\"}}}"}, Options{}, []string{"top.yaml:3:31: error: hostname cannot be a secret: secrets can stand in os.users.password.value", "hint: for a script, write \"secrets: [s]\""}},
		"in a path":            {set{"top.yaml": declared + used + "scripts: {postCustomization: [{path: \"${{ s }}\"}]}"}, Options{}, []string{"top.yaml:3:38: error: path cannot be a secret"}},
		"in an environment":    {set{"top.yaml": declared + used + "scripts: {postCustomization: [{content: x, environmentVariables: {A: \"${{ s }}\"}}]}"}, Options{}, []string{"top.yaml:3:70: error: A cannot be a secret"}},
		"in a condition":       {set{"top.yaml": declared + used + "include: [{when: s == 'x', config: {os: {groups: [{name: g}]}}}]"}, Options{}, []string{"top.yaml:3:18: error: s is a secret, which can only stand for itself"}},
		"in a mapping":         {set{"top.yaml": declared + used + "include: [{when: {s: x}, config: {os: {groups: [{name: g}]}}}]"}, Options{}, []string{"top.yaml:3:19: error: s is a secret"}},
		"in an include":        {set{"top.yaml": declared + used + "include: [\"${{ s }}.yaml\"]"}, Options{}, []string{"top.yaml:3:11: error: include[0] cannot be a secret"}},
		"compared in a field":  {set{"top.yaml": declared + strings.Replace(used, "${{ s }}", "${{ s == 'x' }}", 1)}, Options{}, []string{"top.yaml:2:82: error: s is a secret, which can only stand for itself"}},
		"as a path of a file":  {set{"top.yaml": declared + strings.Replace(used, "plain-text", "plain-text-file", 1)}, Options{}, []string{"top.yaml:2:87: error: a secret is the password itself, or its hash, and no path"}},
		"in an included file":  {set{"top.yaml": "include: [a.yaml]\n" + used, "a.yaml": declared}, Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may"}},
		"a file, included":     {set{"top.yaml": "include: [a.yaml]\n" + used, "a.yaml": strings.Replace(declared, "env: COMPOSE_TEST_PW", "file: /etc/shadow", 1)}, Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may"}},
		"a command, included":  {set{"top.yaml": "include: [a.yaml]\n" + declared + used, "a.yaml": "variables: {s: {from: {command: [id]}}}"}, Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may"}},
		"where it may be":      {set{"top.yaml": "include: [a.yaml]\n" + declared + used, "a.yaml": "variables: {s: {mayBeInImage: [/etc/x]}}"}, Options{}, []string{"a.yaml:1:13: error: only the file that the command line names may"}},
		"a base config":        {set{"top.yaml": "baseConfigs: [{path: a.yaml}]\n" + declared + used, "a.yaml": "os: {users: [{name: v, password: {type: plain-text, value: \"${{ s }}\"}}]}\nscripts: {postCustomization: [{content: x, secrets: [t]}]}"}, Options{}, []string{"a.yaml:2:54: error: there is no secret t"}},
		"two sources":          {set{"top.yaml": strings.Replace(declared, "env:", "file: x, env:", 1) + used}, Options{}, []string{"top.yaml:1:13: error: the secret s has more than one source"}},
		"no source":            {set{"top.yaml": "variables: {s: {type: secret}, r: {type: string, default: x}}\n" + used}, Options{}, []string{"top.yaml:1:13: error: the secret s has no value"}},
		"a default":            {set{"top.yaml": strings.Replace(declared, "secret,", "secret, default: "+theSecret+",", 1) + used}, Options{}, []string{"top.yaml:1:13: error: the variable s is a secret, which cannot stand in a config"}},
		"public":               {set{"top.yaml": strings.Replace(declared, "secret,", "secret, public: true,", 1) + used}, Options{}, []string{"top.yaml:1:13: error: the variable s is a secret, and public"}},
		"no path in the image": {set{"top.yaml": strings.Replace(declared, "secret,", "secret, mayBeInImage: [etc/x],", 1) + used}, Options{}, []string{"top.yaml:1:13: error: mayBeInImage of s: \"etc/x\" is not the absolute path"}},
		"not used":             {set{"top.yaml": declared + "os: {hostname: \"${{ r }}\"}"}, Options{}, []string{"top.yaml:1:13: error: the variable s is not used"}},
		"--set":                {set{"top.yaml": declared + used}, Options{Set: []string{"s=" + theSecret}}, []string{"--set s: error: s is a secret, and the process list shows the command line"}},
		"--vars":               {set{"top.yaml": declared + used, "v.yaml": "s: " + theSecret}, Options{Vars: []string{"v.yaml"}}, []string{"v.yaml:1:4: error: s is a secret, which cannot stand in a file of values"}},
		"in a file":            {set{"top.yaml": declared + strings.Replace(used, "os: {", "os: {additionalFiles: [{destination: /etc/x, content: \"a ${{ s }}\"}], ", 1)}, Options{}, []string{"top.yaml:2:55: error: the secret s would be in the image, in /etc/x", "declare mayBeInImage: [/etc/x]"}},
		"on a medium":          {set{"top.yaml": declared + used + "iso: {additionalFiles: [{destination: /etc/x, content: \"a ${{ s }}\"}]}"}, Options{}, []string{"top.yaml:3:56: error: a live medium cannot hold a secret"}},
		"a script, undeclared": {set{"top.yaml": declared + used + "scripts: {postCustomization: [{content: x, secrets: [z]}]}"}, Options{}, []string{"top.yaml:3:54: error: there is no secret z"}},
		"a script, no secret":  {set{"top.yaml": declared + used + "scripts: {postCustomization: [{content: x, secrets: [r]}]}"}, Options{}, []string{"top.yaml:3:54: error: the variable r is no secret"}},
		"a script, alone":      {set{"top.yaml": "scripts: {postCustomization: [{content: x, secrets: [z]}]}"}, Options{}, []string{"top.yaml:1:54: error: there is no secret z"}},
		"a string from a file": {set{"top.yaml": "variables: {r: {type: string, from: {file: x}}}\nos: {hostname: \"${{ r }}\"}"}, Options{}, []string{"top.yaml:1:13: error: the variable r has from, allowShort or mayBeInImage as a secret has"}},
	} {
		_, report := rendered(t, tree(t, c.files), c.o)
		for _, w := range c.want {
			if !strings.Contains(report, w) {
				t.Errorf("%s: want %q in\n%s", name, w, report)
			}
		}
		if strings.Contains(report, theSecret) {
			t.Errorf("%s: shown in\n%s", name, report)
		}
	}
}
