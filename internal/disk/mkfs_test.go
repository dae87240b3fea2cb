package disk

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testUUID = "aaaaaaaa-1111-4222-8333-444444444444"

func made(t *testing.T, f Format, size int64) string {
	t.Helper()
	name := blank(t, size)
	if err := f.Make(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if c := Probe(file); c.Type != f.Type || c.UUID != f.UUID {
		t.Errorf("made %+v, want %s with UUID %s", c, f.Type, f.UUID)
	}
	return name
}

// after returns the words behind a heading of a program's output.
func after(out, heading string) []string {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, heading); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// TestMakeExt4 compares the features with those asked for: whatever the host's configuration says.
func TestMakeExt4(t *testing.T) {
	t.Parallel()
	for _, features := range [][]string{
		{"sparse_super", "large_file", "filetype", "resize_inode", "dir_index", "ext_attr", "has_journal", "extent", "huge_file", "flex_bg", "metadata_csum", "64bit", "dir_nlink", "extra_isize"},
		{"filetype", "has_journal", "extent"},
	} {
		name := made(t, Format{Type: "ext4", UUID: testUUID, Features: features}, 64*mib)
		got := after(run(t, "dumpe2fs", "-h", name), "Filesystem features:")
		slices.Sort(got)
		slices.Sort(features)
		if d := cmp.Diff(features, got); d != "" {
			t.Error(d)
		}
	}
}

func TestMakeXFS(t *testing.T) {
	t.Parallel()
	for want, features := range map[string][]string{
		"bigtime=1 inobtcount=1 reflink=1 rmapbt=1 sparse=1 nrext64=1": {"bigtime", "crc", "finobt", "inobtcount", "reflink", "rmapbt", "sparse", "nrext64"},
		"bigtime=0 inobtcount=0 reflink=1 rmapbt=0 sparse=1 nrext64=0": {"crc", "finobt", "reflink", "sparse"},
	} {
		info := strings.ReplaceAll(run(t, "xfs_db", "-r", "-c", "info", made(t, Format{Type: "xfs", UUID: testUUID, Features: features}, 320*mib)), ",", " ")
		for _, w := range strings.Fields(want) {
			if !slices.Contains(strings.Fields(info), w) {
				t.Errorf("%v: no %s in\n%s", features, w, info)
			}
		}
	}
}

func TestMakeBtrfs(t *testing.T) {
	t.Parallel()
	for _, features := range [][]string{{"extref", "skinny-metadata", "no-holes"}, {"extref", "skinny-metadata", "no-holes", "free-space-tree"}} {
		super := run(t, "btrfs", "inspect-internal", "dump-super", made(t, Format{Type: "btrfs", UUID: testUUID, Features: features}, 128*mib))
		if got, want := strings.Contains(super, "FREE_SPACE_TREE |"), slices.Contains(features, "free-space-tree"); got != want {
			t.Errorf("free-space-tree: got %v, want %v in\n%s", got, want, super)
		}
		for _, f := range []string{"EXTENDED_IREF", "SKINNY_METADATA", "NO_HOLES", "crc32c"} {
			if !strings.Contains(super, f) {
				t.Errorf("no %s in\n%s", f, super)
			}
		}
		if strings.Contains(super, "BLOCK_GROUP_TREE") {
			t.Error("block-group-tree was not asked for")
		}
	}
}

func TestMakeFATAndSwap(t *testing.T) {
	t.Parallel()
	made(t, Format{Type: "vfat", UUID: "AB12-CD34"}, 64*mib)
	made(t, Format{Type: "swap", UUID: testUUID}, 16*mib)
	if err := (Format{Type: "zfs"}).Make(t.Context(), blank(t, mib)); err == nil {
		t.Error("a zfs was made")
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{"6.1.0-18-amd64": {6, 1, 0}, "5.15": {5, 15}, "6.12.3+deb": {6, 12, 3}, "x": nil, "": nil} {
		if d := cmp.Diff(want, Version(text)); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}
