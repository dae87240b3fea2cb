package step

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
)

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
			doc, report := config.Parse(filepath.Join(dir, "c.yaml"), []byte(yaml))
			Decode(doc, config.Options{CheckFiles: true})
			var b strings.Builder
			report.Render(&b, false)
			if want == "" && b.Len() > 0 || !strings.Contains(b.String(), want) {
				t.Errorf("%q in %s: want %q in\n%s", text, yaml, want, b.String())
			}
		}
	}
}

func TestInterpretersAreLookedForWhenPlanning(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{"bin/sh": "", "usr/bin/python3": "", "etc/shells": "/bin/sh\n"})
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
		{RunScript{Script: Script{Interpreter: "/opt/x"}, Files: supplied{Files: []WriteFile{{Destination: "/opt/x", Source: name}}}}, ""},
	} {
		got := c.step.Check(context.Background(), m)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Text+got[0].Hint, c.want) || !got[0].Later) {
			t.Errorf("%+v: %v", c.step.Script, got)
		}
	}
}

func TestOverlaysAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{
		"etc/fstab": "UUID=a / ext4 defaults 0 1\nUUID=b /var ext4 defaults 0 2\nUUID=c /data ext4 x-initrd.mount 0 2\n",
		"srv/file":  "", "usr/lib/systemd/system/mnt-x.mount": "",
	})
	check := func(o Overlay) (got []string) {
		for _, p := range (AddOverlay{Overlay: o, Path: "p"}).Check(context.Background(), m) {
			got = append(got, p.Path+": "+p.Text+" "+p.Hint)
		}
		return got
	}
	good := Overlay{MountPoint: "/etc", LowerDirs: []OverlayPath{"/etc"}, UpperDir: "/var/u", WorkDir: "/var/w", MountDependencies: []OverlayPath{"/var", "/mnt/x", "/"}}
	if got := check(good); len(got) > 0 {
		t.Errorf("a good one: %q", got)
	}
	bad := Overlay{MountPoint: "/srv/file", LowerDirs: []OverlayPath{"/etc", "/srv/file/x"}, UpperDir: "/var/u", WorkDir: "/var/w", MountDependencies: []OverlayPath{"/vra", "/none"}}
	if got := check(bad); len(got) != 4 || !strings.Contains(strings.Join(got, "\n"), `did you mean "/var"?`) {
		t.Errorf("four faults: %q", got)
	}
	fstab := "UUID=a / ext4 defaults 0 1\nUUID=n /none ext4 defaults 0 2\n"
	s := AddOverlay{Overlay: Overlay{MountPoint: "/etc", MountDependencies: []OverlayPath{"/none"}}, Files: supplied{Files: []WriteFile{{Content: &fstab, Destination: "/etc/fstab"}}}}
	if got := s.dependencies(m); len(got) > 0 {
		t.Errorf("an fstab of the config: %v", got)
	}
}
