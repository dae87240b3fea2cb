package compose

import (
	"testing"

	"imagecustomizer/internal/config"
)

// FuzzExpression: an expression is refused or evaluated, and means the same when it is written anew.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"a", "a == 'x' && !b", "n >= 3 || (version < \"3.1\")", "profile.p", "'it''s'", "\"\\u00e9\" != a", "!(!b)", "l", "1 < n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseExpr(s)
		if err != nil {
			return
		}
		c := &composer{used: map[string]bool{}, missed: map[string]bool{}, profiles: map[string][]part{"p": nil}, options: Options{Facts: &Facts{Version: "3.0"}}}
		vars := map[string]*variable{}
		for name, v := range map[string]config.Value{
			"a": {Text: "x"}, "b": {Kind: config.BoolValue, Bool: true}, "n": {Kind: config.IntValue, Int: 3}, "l": {Kind: config.ListValue},
		} {
			typ := map[config.ValueKind]VariableType{config.TextValue: "string", config.BoolValue: "bool", config.IntValue: "int", config.ListValue: "list"}[v.Kind]
			vars[name] = &variable{Variable: Variable{Type: typ}, name: name, value: v, has: true, settled: true}
		}
		s1 := scope{c: c, variables: vars, when: true}
		v, err := s1.eval(e)
		again, err2 := parseExpr(e.String())
		if err2 != nil {
			t.Fatalf("%q is written as %q, which is refused: %v", s, e, err2)
		}
		if w, err3 := s1.eval(again); (err == nil) != (err3 == nil) || w.value.String() != v.value.String() || w.known != v.known {
			t.Errorf("%q is %v (%v), and %q is %v (%v)", s, v, err, again, w, err3)
		}
	})
}

// FuzzParts: whatever two files say, there is a report or a config, and that rendered is the same when rendered again.
func FuzzParts(f *testing.F) {
	f.Add("os: {users: [{name: u}], packages: {install: [a]}}", "os: {users: [!remove u], packages: !replace {install: [\"${{ v }}\"]}}", "x")
	f.Add("os: &o {hostname: a}\nscripts: {postCustomization: [{content: x, environmentVariables: {<<: *o}}]}", "os: {groups: [{name: g, when: \"v == 'x'\"}]}", "y")
	f.Add("profiles: {p: {os: {hostname: h}}}", "os: {kernelCommandLine: {extraCommandLine: [\"$${{\", 'a ${{ v }}']}}", "1")
	f.Add("os: {additionalFiles: [{content: \"a\\n b \\n\", destination: /x, permissions: 0644}]}", "os: {additionalFiles: [{destination: /x, content: ~}]}", "")
	f.Fuzz(func(t *testing.T, a, b, value string) {
		files := &Files{Dir: "/d", Sealed: true, List: []File{
			{Path: "/d/top.yaml", Real: "/d/top.yaml", Text: []byte("variables: {v: {type: string}}\ninclude: [a.yaml, b.yaml, {when: \"v == 'never'\", config: {os: {hostname: never}}}]\n")},
			{Path: "/d/a.yaml", Real: "/d/a.yaml", Text: []byte(a)}, {Path: "/d/b.yaml", Real: "/d/b.yaml", Text: []byte(b)},
		}}
		r, err := Load("/d/top.yaml", files, Options{Set: []string{"v=" + value}, Profiles: []string{}})
		if err != nil || r.Report.Failed() || r.Waiting {
			return
		}
		once, _, err := r.Render(Rendering{Dir: "/d"})
		if err != nil {
			return
		}
		again, err := Load("/d/r.yaml", &Files{Dir: "/d", Sealed: true, List: []File{{Path: "/d/r.yaml", Real: "/d/r.yaml", Text: once}}}, Options{})
		if err != nil || again.Report.Failed() {
			t.Fatalf("%q and %q are rendered as what is not valid: %v\n%s", a, b, again.Report.Err(), once)
		}
		if twice, _, err := again.Render(Rendering{Dir: "/d"}); err != nil || string(twice) != string(once) {
			t.Errorf("rendered %s\nand again %s\n%v", once, twice, err)
		}
	})
}
