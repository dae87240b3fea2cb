package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/step"
)

// TestNoOutputTakesThePlaceOfAnInput tries every kind of input under every name that a file can have.
func TestNoOutputTakesThePlaceOfAnInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	touch := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := CustomizeOptions{ConfigFile: touch("config.yaml"), RPMSources: []string{dir + "/rpms", touch("a.repo")}, DebSources: []string{touch("a.list")}}
	touch("rpms/deep/a.rpm")
	touch("tree/deep/file")
	cfg := &step.Config{}
	cfg.OS.AdditionalFiles = append(cfg.OS.AdditionalFiles, files.AdditionalFile{Source: config.Path{Resolved: touch("file.txt")}})
	cfg.OS.AdditionalDirs = append(cfg.OS.AdditionalDirs, files.AdditionalDir{Source: config.Path{Resolved: dir + "/tree"}})
	in := o.inputs(cfg, touch("base.raw"))
	for _, name := range []string{"base.raw", "config.yaml", "rpms/deep/a.rpm", "a.repo", "a.list", "file.txt", "tree/deep/file"} {
		path := filepath.Join(dir, name)
		for kind, alias := range map[string]func(string) error{
			"itself":        func(to string) error { return os.Rename(path, to) },
			"hard link":     func(to string) error { return os.Link(path, to) },
			"symbolic link": func(to string) error { return os.Symlink(path, to) },
		} {
			to := filepath.Join(t.TempDir(), "out.raw")
			if err := alias(to); err != nil {
				t.Fatal(err)
			}
			var bad usage
			checkTargets([]*job.Output{{Format: diskformat.Format{Name: "raw"}, Path: to}}, in, false, &bad)
			if len(bad) != 1 || !strings.Contains(bad[0], "never modified") {
				t.Errorf("%s by its %s: %q", name, kind, bad)
			}
			if kind == "itself" {
				if err := os.Rename(to, path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var bad usage
	checkTargets([]*job.Output{{Path: touch("older.raw")}}, in, false, &bad)
	if len(bad) != 0 {
		t.Errorf("an older output: %q", bad)
	}
	checkTargets([]*job.Output{{Path: dir + "/older.raw"}, {Path: dir + "/new.raw"}}, in, true, &bad)
	if len(bad) != 1 || !strings.Contains(bad[0], "--no-clobber keeps it") {
		t.Errorf("--no-clobber: %q", bad)
	}
}

func TestOutputsAreTwoFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dir+"/a", dir+"/b"); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]*job.Output{
		"hard links":               {{Path: dir + "/a"}, {Path: dir + "/b"}},
		"one path":                 {{Path: dir + "/c"}, {Path: dir + "/c"}},
		"a checksum file's path":   {{Path: dir + "/c", Checksum: true}, {Path: dir + "/c.sha256"}},
		"one path, otherwise told": {{Path: dir + "/c"}, {Path: dir + "/./x/../c"}},
	} {
		var bad usage
		checkTargets(list, inputs{}, false, &bad)
		if len(bad) != 1 {
			t.Errorf("%s: %q", name, bad)
		}
	}
}

func TestWitness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"nothing":   {func(string) error { return nil }, ""},
		"read":      {func(p string) error { _, err := os.ReadFile(p); return err }, ""},
		"mode":      {func(p string) error { return os.Chmod(p, 0o600) }, ""},
		"hard link": {func(p string) error { return os.Link(p, p+".2") }, ""},
		"size":      {func(p string) error { return os.Truncate(p, 5) }, "3 bytes and has 5"},
		"content":   {func(p string) error { return os.Chtimes(p, time.Time{}, time.Now().Add(time.Second)) }, "written to"},
		"removed":   {os.Remove, "went away"},
		"replaced": {func(p string) error {
			if err := os.WriteFile(p+".new", []byte("abc"), 0o644); err != nil {
				return err
			}
			return os.Rename(p+".new", p)
		}, "another file"},
	} {
		path := filepath.Join(t.TempDir(), "base")
		if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := witnessOf(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(path); err != nil {
			t.Fatal(err)
		}
		switch err := w.unchanged(); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
