package cow

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMemoryGroupIsFound(t *testing.T) {
	const groups = "4:cpu,memory:/a/b\n0::/c/d\n"
	for mount, want := range map[string][2]string{
		"31 20 0:9 / /m rw - cgroup cgroup rw,memory":           {"/m", "/m/a/b"},
		"31 20 0:9 /a/b /m rw shared:1 - cgroup cgroup memory":  {"/m", "/m"},
		"31 20 0:9 /other /m rw - cgroup cgroup rw,cpu,memory":  {"/m", "/m"},
		"31 20 0:9 / /u rw,nosuid shared:4 - cgroup2 none rw":   {"/u", "/u/c/d"},
		"31 20 0:9 /c /u rw - cgroup2 none rw,nsdelegate":       {"/u", "/u/d"},
		"31 20 0:9 / /m rw - cgroup cgroup rw,cpu":              {},
		"31 20 0:9 / /sys/fs/cgroup rw - tmpfs cgroup rw,size=": {},
	} {
		if top, group := memoryGroup(strings.Fields(mount), groups); top != want[0] || group != want[1] {
			t.Errorf("%s: %q, %q", mount, top, group)
		}
	}
}

func TestLimitsAboveCount(t *testing.T) {
	top := t.TempDir()
	group := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/memory.max", "max")
	write("a/b/memory.limit_in_bytes", "9223372036854771712")
	if limitedBelow(top, group, 1<<30) {
		t.Error("no limit is one")
	}
	write("a/memory.max", "1000000")
	if !limitedBelow(top, group, 1<<30) || limitedBelow(top, group, 1000) {
		t.Error("other than 1000000")
	}
}
