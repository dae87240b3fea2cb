package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"
)

// TestWhoOwnsThePackages has systems on which package managers are installed that are not theirs.
func TestWhoOwnsThePackages(t *testing.T) {
	t.Parallel()
	const debian = "Package: adduser\nStatus: install ok installed\n\nPackage: dpkg\nEssential: yes\nStatus: install ok installed\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"Debian":                        {map[string]string{"usr/bin/apt-get": "x", "var/lib/dpkg/status": debian}, "apt"},
		"Debian with dnf":               {map[string]string{"usr/bin/apt-get": "x", "usr/bin/dnf": "x", "var/lib/dpkg/status": debian, "var/lib/rpm/rpmdb.sqlite": "x"}, "apt"},
		"Debian with dnf5 and tdnf":     {map[string]string{"usr/bin/apt-get": "x", "usr/bin/dnf5": "x", "usr/bin/tdnf": "x", "var/lib/dpkg/status": debian}, "apt"},
		"Debian without apt, with dnf":  {map[string]string{"usr/bin/dnf": "x", "var/lib/dpkg/status": debian}, ""},
		"Fedora with apt and dpkg":      {map[string]string{"usr/bin/apt-get": "x", "usr/bin/dnf": "x", "var/lib/dpkg/status": "", "usr/lib/sysimage/rpm/rpmdb.sqlite": "x"}, "dnf"},
		"Fedora with a .deb":            {map[string]string{"usr/bin/apt-get": "x", "usr/bin/dnf5": "x", "var/lib/dpkg/status": "Package: hello\nStatus: install ok installed\n", "var/lib/rpm/Packages.db": "x"}, "dnf5"},
		"Azure Linux with apt":          {map[string]string{"usr/bin/apt-get": "x", "usr/bin/tdnf": "x", "usr/bin/dnf": "x", "var/lib/rpm/rpmdb.sqlite": "x"}, "tdnf"},
		"rpm without a package manager": {map[string]string{"usr/bin/apt-get": "x", "var/lib/rpm/Packages": "x"}, ""},
		"dpkg removed":                  {map[string]string{"usr/bin/apt-get": "x", "usr/bin/dnf": "x", "var/lib/dpkg/status": "Package: dpkg\nStatus: deinstall ok config-files\n", "var/lib/rpm/Packages": "x"}, "dnf"},
		"no database":                   {map[string]string{"usr/bin/dnf": "x"}, "dnf"},
		"dnf5 only":                     {map[string]string{"usr/bin/dnf5": "x", "var/lib/rpm/Packages": "x"}, "dnf5"},
		"dnf beside dnf5":               {map[string]string{"usr/bin/dnf5": "x", "usr/bin/dnf": "x", "var/lib/rpm/Packages": "x"}, "dnf"},
		"dnf that leads to dnf5":        {map[string]string{"usr/bin/dnf5": "x", "usr/bin/dnf": "-> dnf5", "var/lib/rpm/Packages": "x"}, "dnf5"},
		"dnf that leads to dnf-3":       {map[string]string{"usr/bin/dnf-3": "x", "usr/bin/dnf": "-> /usr/bin/dnf-3", "var/lib/rpm/Packages": "x"}, "dnf"},
		"nothing":                       {nil, ""},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if target, is := strings.CutPrefix(text, "-> "); is {
				if err := os.Symlink(target, path); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		root, err := rootfs.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := Manager(root); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		root.Close()
	}
}
