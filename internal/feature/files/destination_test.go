package files

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

// filesTest is a config of the sections here.
type filesTest struct {
	OS struct {
		Files AdditionalFiles `yaml:"additionalFiles"`
		Dirs  AdditionalDirs  `yaml:"additionalDirs"`
	} `yaml:"os"`
}

func TestFilesThatWouldNotBeInTheImage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/run/systemd/network/a.network": "error: /run/systemd", "/var/run/app.pid": "error: /var/run", "/var//run/x": "error: /var/run", "/var/lock/x": "error: /var/lock",
		"/dev/fuse": "udev", "/proc/sys/x": "sysctl", "/sys/x": "sysctl", "/a/../run/x": "error: /run", "/tmp/x": "warning: /tmp/x", "/run": "error: /run",
		"/runner/x": "", "/var/tmp/x": "", "/etc/run/x": "", "/tmpl": "", "/usr/lib/tmpfiles.d/x.conf": "", "/device": "",
	} {
		for _, yaml := range []string{
			"os: {additionalFiles: [{content: a, destination: NAME}]}", "os: {additionalDirs: [{source: d, destination: NAME}]}",
		} {
			got := featuretest.Reported[filesTest]("x.yaml", strings.ReplaceAll(yaml, "NAME", name))
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s: want %q in\n%s", name, want, got)
			}
		}
	}
}

func TestDestinationsAreCheckedAgainstTheImage(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"run/x": "", "etc/file": "", "var/log/x": "", "srv/x": "", "usr/bin/x": "",
		"etc/fstab": "tmpfs /var/log tmpfs defaults 0 0\ntmpfs /tmp tmpfs defaults 0 0\nUUID=x / ext4 defaults 0 1\n",
	})
	for name, target := range map[string]string{"/etc/state": "/run", "/etc/deep": "../run/x2", "/opt": "srv", "/bin": "usr/bin", "/etc/mtab": "../proc/self/mounts"} {
		if err := m.Root.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	src := t.TempDir()
	text := "a"
	for name, want := range map[string]string{
		"/etc/new": "", "/opt/app/x": "", "/bin/x": "", "/etc/file": "", "/new/folder/x": "", "/tmp/x": "",
		"/etc/state/x": "/run/x in the image", "/etc": "is a folder", "/etc/file/x": "/etc/file is no folder", "/var/log/app": "in memory at /var/log",
		"/opt": "is a folder",
	} {
		got := WriteFile{Content: &text, Destination: name, Path: "p"}.Check(context.Background(), m)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].Text, want) || got[0].Path != "p.destination") {
			t.Errorf("%s: %v, want %q", name, got, want)
		}
	}
	files := featuretest.Tree(t, map[string]string{"etc/file/x": "", "run/y": "", "etc/ok": ""})
	got := CopyDir{Source: files.Root.Dir(), Destination: "/", Path: "p"}.Check(context.Background(), m)
	if len(got) != 3 {
		t.Errorf("a folder: %v", got)
	}
	if got := (CopyDir{Source: src + "/none", Destination: "/x", Path: "p"}).Check(context.Background(), m); len(got) != 1 {
		t.Errorf("a folder that went away: %v", got)
	}
}
