package scripts

import (
	"slices"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/hostcmd"
)

// TestScriptEnvironment: a script has a PATH, and one of its own where it says so.
func TestScriptEnvironment(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"tmp/x": ""})
	for _, c := range []struct{ given, want []string }{
		{nil, []string{hostcmd.DefaultPath}},
		{[]string{"A", "b"}, []string{hostcmd.DefaultPath, "A=b"}},
		{[]string{"PATH", "/opt"}, []string{"PATH=/opt"}},
		{[]string{"PATH", ""}, []string{"PATH="}},
	} {
		s := RunScript{Script: Script{Interpreter: "/bin/sh", Content: "x"}}
		if len(c.given) > 0 {
			s.Script.EnvironmentVariables = map[string]string{c.given[0]: c.given[1]}
		}
		got, err := s.command(m)
		if err != nil || !slices.Equal(got.Env, c.want) {
			t.Errorf("%q: %q instead of %q, %v", c.given, got.Env, c.want, err)
		}
	}
}
