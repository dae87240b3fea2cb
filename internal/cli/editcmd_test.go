package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/printable"
	"imagecustomizer/internal/step"
)

// run runs the program in this process and returns what it prints.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	bad, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	code = Run(t.Context(), args, out, bad)
	a, _ := os.ReadFile(out.Name())
	b, _ := os.ReadFile(bad.Name())
	return code, string(a), string(b)
}

// printed is the config that flags come to, and whether customize takes it as it is.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	code, out, bad := run(t, append([]string{"edit", "--print-config"}, args...)...)
	if code != failure.OK {
		t.Fatalf("%q: exit status %d, %s", args, code, bad)
	}
	file := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := compose.Load(file, &compose.Files{}, compose.Options{})
	if err == nil {
		err = r.Report.Err()
	}
	if err != nil {
		t.Fatalf("%q: the config that is printed is not valid: %v\n%s", args, err, out)
	}
	again, _, err := r.Render(compose.Rendering{Dir: filepath.Dir(file)})
	if err != nil || printable.Text(string(again)) != out {
		t.Errorf("%q: the config that is printed reads as another one (%v):\n%s\n%s", args, err, out, again)
	}
	return out
}

func TestEditSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-a", "x.raw", "--hostname", "web"}, []string{"--output", "--in-place"}},
		{[]string{"--hostname", "web"}, []string{"--image-file", "--output", "--in-place"}},
		{[]string{"-a", "x.raw", "--output", "y.raw"}, []string{"nothing to change", "--install"}},
		{[]string{"-a", "x.raw", "--output", "y", "--hostname", "web"}, []string{"--output y", "FORMAT=PATH"}},
		{[]string{"-a", "x.raw", "--output", "y.raw", "--chmod", "9:/x", "--delete", "x", "--ssh-key", "a"}, []string{"--chmod 9:/x", "--delete x", "--ssh-key a", "USER=FILE"}},
		{[]string{"-a", "x.raw", "--output", "y.raw", "--delete", "/"}, []string{"all of the image"}},
		{[]string{"-a", "x.raw", "--output", "y.raw", "--install", "a,,b"}, []string{"commas"}},
		{[]string{"--print-config", "--root-password", "random"}, []string{"--root-password:", "openssl"}},
		{[]string{"--print-config", "--password", "alice:secret-word"}, []string{"--password:", "password:TEXT"}},
	} {
		code, _, bad := run(t, append([]string{"edit"}, c.args...)...)
		if code != failure.Usage {
			t.Errorf("%q: exit status %d, want %d", c.args, code, failure.Usage)
		}
		for _, w := range c.want {
			if !strings.Contains(bad, w) {
				t.Errorf("%q: %q is not in: %s", c.args, w, bad)
			}
		}
		if strings.Contains(bad, "secret-word") {
			t.Errorf("%q: the password is shown: %s", c.args, bad)
		}
	}
}

// TestEditNamesTheFlag: what the config's own checks find is said of the flag, and all of it at once.
func TestEditNamesTheFlag(t *testing.T) {
	t.Parallel()
	code, _, bad := run(t, "edit", "--print-config", "--hostname", "we_b", "--write", "etc/motd=x", "--copy-in", "/none:/srv", "--password", "alice:file:/none")
	if code != failure.Config {
		t.Errorf("exit status %d", code)
	}
	for _, w := range []string{"--hostname we_b: error", "--write etc/motd=x: error", "--copy-in /none:/srv: error", "--password: error"} {
		if !strings.Contains(bad, w) {
			t.Errorf("%q is not in: %s", w, bad)
		}
	}
}

// TestPasswordOnTheCommandLine is warned of, and neither printed nor logged.
func TestPasswordOnTheCommandLine(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	code, out, bad := run(t, "edit", "--print-config", "--root-password", "password:tell-nobody", "--log-file", log)
	if code != failure.OK || !strings.Contains(bad, "process list") {
		t.Errorf("exit status %d, %s", code, bad)
	}
	logged, err := os.ReadFile(log)
	if err != nil || len(logged) == 0 {
		t.Errorf("nothing is logged: %v", err)
	}
	for what, text := range map[string]string{"config": out, "screen": bad, "log": string(logged)} {
		if strings.Contains(text, "tell-nobody") {
			t.Errorf("the password is in the %s:\n%s", what, text)
		}
	}
}

// TestTextsSurvive: whatever a text holds, the config that is printed says the same.
func TestTextsSurvive(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "x", "yes", "~", "1.5", "0x10", "a: b", "# c", "'", "\"", "\\", "%s", "${{ x }}", "$${{ x }}", "a\nb\n", "\n\n a\n", "a\n\n", "tab\there", "- x", "{}", "[", "é ☃", "a\rb", "\u2028", "\u202ex", "a\n\u202e\n", "\x01", "\x7f", "\u200b",
	} {
		out := printed(t, "--write", "/etc/x="+text, "--run-command", "true; "+text)
		r, err := loadText(t, out)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Config.OS.AdditionalFiles[0].Content; *got != text {
			t.Errorf("%q became %q", text, *got)
		}
		if got := r.Config.Scripts.PostCustomization[0].Content; got != "true; "+text {
			t.Errorf("%q became %q", "true; "+text, got)
		}
	}
}

func loadText(t *testing.T, text string) (*compose.Result, error) {
	t.Helper()
	files := &compose.Files{Sealed: true, Dir: "/", List: []compose.File{{Path: "/x.yaml", Real: "/x.yaml", Text: []byte(text)}}}
	r, err := compose.Load("/x.yaml", files, compose.Options{})
	if err == nil {
		err = r.Report.Err()
	}
	return r, err
}

// TestLaterFlagsAddUp: lists grow, a user is one user, a text that is written twice is the later one.
func TestLaterFlagsAddUp(t *testing.T) {
	t.Parallel()
	r, err := loadText(t, printed(t, "--install", "a,b", "--install", "c", "--user", "alice", "--password", "alice:locked", "--ssh-inject", "alice:string:"+key,
		"--write", "/etc/x=1", "--write", "/etc/y=2", "--write", "/etc/x=3", "--hostname", "one", "--hostname", "two", "--append-kernel-args", "a b", "--append-kernel-args=c"))
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	if len(c.OS.Packages.Install) != 3 || len(c.OS.Users) != 1 || c.OS.Users[0].Password.Type != "locked" || len(c.OS.Users[0].SSHPublicKeys) != 1 {
		t.Errorf("%+v", c.OS)
	}
	if len(c.OS.AdditionalFiles) != 2 || *c.OS.AdditionalFiles[1].Content != "3" || c.OS.Hostname != "two" || len(c.OS.KernelCommandLine.Extra) != 2 {
		t.Errorf("%+v", c.OS)
	}
}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2cS4zqfmxr4pHxyGmQvFYFzSyRn0MtsUvZb9wQ1xQx alice"

// TestScriptsKeepWhatRunsThem: the text of a script is part of the config, with what its first line says.
func TestScriptsKeepWhatRunsThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for first, want := range map[string]struct{ interpreter, text string }{
		"#!/bin/bash\n":               {"/bin/bash", "#!/bin/bash\necho x\n"},
		"#!/usr/bin/env python3\n":    {"/usr/bin/python3", "#!/usr/bin/env python3\necho x\n"},
		"#!/bin/sh -eu\n":             {"/bin/sh", "set -eu\necho x\n"},
		"":                            {"/bin/sh", "echo x\n"},
		"#!/usr/bin/perl -w\n":        {},
		"#!/usr/bin/env -S perl -w\n": {},
	} {
		file := filepath.Join(dir, "setup it.sh")
		if err := os.WriteFile(file, []byte(first+"echo x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if want.text == "" {
			if code, _, bad := run(t, "edit", "--print-config", "--run", file); code != failure.Usage || !strings.Contains(bad, "options") {
				t.Errorf("%q: exit status %d, %s", first, code, bad)
			}
			continue
		}
		r, err := loadText(t, printed(t, "--run", file, "--firstboot", file))
		if err != nil {
			t.Fatal(err)
		}
		s, b := r.Config.Scripts.PostCustomization[0], r.Config.OS.FirstBoot[0]
		if s.Interpreter != want.interpreter || s.Content != want.text || b.Interpreter != want.interpreter || b.Content != want.text || !strings.HasPrefix(string(b.Name), "setupit-") {
			t.Errorf("%q: %+v, %+v", first, s, b)
		}
	}
}

// TestFlagsAreWhole: every flag of a feature can be given, and says what stands in the config.
func TestFlagsAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range step.Flags() {
		for _, n := range append([]string{f.Name}, f.Aliases...) {
			if seen[n] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(n) {
				t.Errorf("%s is there twice, or no name of a flag", n)
			}
			seen[n] = true
		}
		if f.Help == "" || !strings.HasSuffix(f.Help, ".") || f.Says == nil {
			t.Errorf("%s is not described, or says nothing", f.Name)
		}
	}
	for _, n := range []string{"hostname", "install", "uninstall", "update", "user", "run", "mkdir", "firstboot", "timezone"} {
		if !seen[n] {
			t.Errorf("no feature brings --%s", n)
		}
	}
	if !slices.ContainsFunc(step.Flags(), func(f feature.Flag) bool { return f.Secret }) {
		t.Error("no flag is secret")
	}
}
