// Package featuretest is what tests of sections have in common: small trees as images, and configs of a few sections.
package featuretest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Tree makes a machine over a folder with these files.
func Tree(t *testing.T, files map[string]string) *machine.Machine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &machine.Machine{Root: root, Facts: &machine.Facts{}, Log: slog.Default()}
}

func Read(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	data, err := m.Root.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func MustRun(t *testing.T, m *machine.Machine, steps ...plan.Step) {
	t.Helper()
	for _, s := range steps {
		if err := s.Run(context.Background(), m); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Program is an empty file that can be run.
func Program(t *testing.T, m *machine.Machine, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := m.Root.MkdirAll("/usr/bin", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := m.Root.WriteFile("/usr/bin/"+name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Executable makes programs of files of a tree.
func Executable(t *testing.T, m *machine.Machine, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := m.Root.Chmod(n, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// DebianFacts are those of an image with Debian.
var DebianFacts = &machine.Facts{
	Distro: &distro.Distro{Name: "Debian"}, PackageManager: "apt", Boot: boot.Scheme{Kind: boot.Mkconfig, Config: "/boot/grub/grub.cfg"},
}

// Parse decodes a config of the sections that a type has, and fails the test where it is refused.
func Parse[C any](t *testing.T, text string) *C {
	t.Helper()
	doc, report := config.Parse(t.TempDir()+"/c.yaml", []byte(text))
	var c C
	doc.Decode(&c, config.Options{})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return &c
}

// Reported is what the check of a config prints. Files that it names are looked at where they lie in a directory.
func Reported[C any](file, text string) string {
	doc, report := config.Parse(file, []byte(text))
	var c C
	doc.Decode(&c, config.Options{CheckFiles: filepath.IsAbs(file)})
	var b strings.Builder
	report.Render(&b, false)
	return b.String()
}

// Mistakes decodes texts of a section of os, and looks for what must be said of each, with its place; for an empty one,
// that nothing is.
func Mistakes[C any](t *testing.T, key string, cases map[string]string) {
	t.Helper()
	for yaml, want := range cases {
		if got := Reported[C]("c.yaml", "os:\n  "+key+": "+yaml+"\n"); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: want %q in\n%s", yaml, want, got)
		}
	}
}

// ProblemTexts are the problems of a feature's steps in an image of Debian, each as "path: text (hint)".
func ProblemTexts(t *testing.T, f feature.Feature, files map[string]string) string {
	t.Helper()
	m := Tree(t, files)
	m.Facts = DebianFacts
	p, _ := f.Plan(&feature.Given{Facts: DebianFacts})
	var b strings.Builder
	for _, pr := range p.Preflight(context.Background(), m) {
		b.WriteString(pr.Path + ": " + pr.Text + " (" + pr.Hint + ")\n")
	}
	return b.String()
}

// LinkedTree is a tree in which a text that begins with "->" is a link, and what lies in usr/bin can be run.
func LinkedTree(t *testing.T, files map[string]string) *machine.Machine {
	t.Helper()
	plain := map[string]string{"etc/x": ""}
	for name, text := range files {
		if !strings.HasPrefix(text, "->") {
			plain[name] = text
		}
	}
	m := Tree(t, plain)
	for name, text := range files {
		to, link := strings.CutPrefix(text, "->")
		if !link {
			continue
		}
		if err := m.Root.MkdirAll("/"+filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := m.Root.Symlink(to, "/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for name := range plain {
		if strings.HasPrefix(name, "usr/bin/") {
			if err := os.Chmod(filepath.Join(m.Root.Dir(), name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// ItemOf is the path of an item of a config that is one file.
func ItemOf(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
