// Package packaging tests how the program is packaged.
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestPackageHoldsTheProgram unpacks a package and looks at what is in it.
func TestPackageHoldsTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/program", []byte("#!/bin/sh\necho it runs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"v1.2.3-4-gabc": "1.2.3+4+gabc", "3ae86f0-dirty": "0~3ae86f0+dirty", "unknown": "0~unknown"} {
		deb := run(t, "./deb.sh", dir+"/program", version, filepath.Join(dir, version))
		if got := run(t, "dpkg-deb", "-f", deb, "Version"); got != want {
			t.Errorf("version %s: %s, want %s", version, got, want)
		}
		if older := exec.Command("dpkg", "--compare-versions", want, "lt", "0.1"); strings.HasPrefix(want, "0~") && older.Run() != nil {
			t.Errorf("%s is not older than a release", want)
		}
		root := filepath.Join(dir, version, "root")
		run(t, "dpkg-deb", "-x", deb, root)
		if got := run(t, root+"/usr/bin/imagecustomizer"); got != "it runs" {
			t.Errorf("the program says %q", got)
		}
		for _, name := range []string{"copyright", "changelog.gz", "README.md", "configuration.md"} {
			if fi, err := os.Stat(root + "/usr/share/doc/imagecustomizer/" + name); err != nil || fi.Mode().Perm() != 0o644 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
