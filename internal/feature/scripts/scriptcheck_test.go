package scripts

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
)

// scriptsTest is a config of the sections here.
type scriptsTest struct {
	OS struct {
		FirstBoot FirstBoot `yaml:"firstBoot"`
	} `yaml:"os"`
	Scripts Scripts `yaml:"scripts"`
}

// TestScriptsAreTakenAlike gives texts as a file and in the config.
func TestScriptsAreTakenAlike(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"echo a": "", "#!/bin/sh\necho a\n": "", "#! /bin/dash\n": "", "#!/bin/bash\n[[ a ]]\n": "warning", "#!/usr/bin/env bash\n": "warning",
		"#!/usr/bin/python3\nprint(1)\n": "error: ", "#!/usr/bin/env -S perl -w\n": "interpreter: /usr/bin/perl", "#!/bin/sh\r\necho a\r\n": "line ends of Windows",
		"": "empty", " \n": "empty", "\ufeff#!/bin/sh\n": "byte order mark", "\x7fELF\x02": "a program",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "s"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		configs := []string{"scripts: {postCustomization: [{path: s}]}"}
		if !strings.ContainsAny(text, "\x7f\ufeff") {
			quoted := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(text)
			configs = append(configs, `scripts: {postCustomization: [{content: "`+quoted+`"}]}`)
		}
		for _, yaml := range configs {
			got := featuretest.Reported[scriptsTest](filepath.Join(dir, "c.yaml"), yaml)
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%q in %s: want %q in\n%s", text, yaml, want, got)
			}
		}
	}
}

func TestInterpretersAreLookedForWhenPlanning(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"bin/sh": "", "usr/bin/python3": "", "etc/shells": "/bin/sh\n"})
	m.Facts.PackageManager = "apt"
	name := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(name, []byte("#!/bin/bash\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		step RunScript
		want string
	}{
		{RunScript{Script: Script{Interpreter: "/bin/sh"}}, ""}, {RunScript{Script: Script{Interpreter: "/bin/python3"}}, `did you mean "/usr/bin/python3"?`},
		{RunScript{Script: Script{Interpreter: "/usr/bin/perl"}}, "install its package"}, {RunScript{Script: Script{Interpreter: "/usr/bin/perl"}, After: true}, ""},
		{RunScript{Script: Script{ShellLine: " ", Path: config.Path{Resolved: name}}}, "no interpreter /bin/bash"},
		{RunScript{Script: Script{Interpreter: "/opt/x"}, Files: feature.Supplied{Files: []feature.SuppliedFile{{Destination: "/opt/x", Source: name}}}}, ""},
	} {
		got := c.step.Check(context.Background(), m)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Text+got[0].Hint, c.want) || !got[0].Later) {
			t.Errorf("%+v: %v", c.step.Script, got)
		}
	}
}
