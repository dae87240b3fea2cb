package pkgmgr

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPrune: what was not used for long goes, and the oldest of what is too much; never what a run may be using.
func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for name, c := range map[string]struct {
		limit int64
		ages  map[string]time.Duration
		want  string
	}{
		"nothing to do": {1 << 30, map[string]time.Duration{"a": day, "b": 80 * day}, "a b"},
		"old":           {1 << 30, map[string]time.Duration{"a": day, "b": 91 * day, "c": 400 * day}, "a"},
		"too much":      {2 << 16, map[string]time.Duration{"a": day, "b": 3 * day, "c": 2 * day}, "a c"},
		"in use":        {1 << 10, map[string]time.Duration{"a": time.Minute, "b": 3 * day, "c": -day}, "a c"},
	} {
		t.Run(name, func(t *testing.T) {
			usual := maxCache
			defer func() { maxCache = usual }()
			maxCache = c.limit
			cache := t.TempDir()
			dir := filepath.Join(cache, "sha256")
			if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, age := range c.ages {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, []byte(strings.Repeat("x", 1<<16)), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(file, now.Add(-age), now.Add(-age-day)); err != nil {
					t.Fatal(err)
				}
			}
			if err := Prune(cache, now); err != nil {
				t.Fatal(err)
			}
			left, _ := os.ReadDir(dir)
			var names []string
			for _, e := range left {
				if !e.IsDir() {
					names = append(names, e.Name())
				}
			}
			if slices.Sort(names); strings.Join(names, " ") != c.want {
				t.Errorf("left %q, want %q", names, c.want)
			}
		})
	}
	if err := Prune(t.TempDir(), now); err != nil {
		t.Errorf("a cache that is not there: %v", err)
	}
}
