package disk

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func extOf(t *testing.T, name string) Ext {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := ReadExt(f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// number is what dumpe2fs says behind a heading.
func number(t *testing.T, name, heading string) int64 {
	t.Helper()
	words := after(run(t, "dumpe2fs", "-h", name), heading)
	if len(words) != 1 {
		t.Fatalf("dumpe2fs says %q behind %s", words, heading)
	}
	n, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadExt compares with what dumpe2fs and debugfs say.
func TestReadExt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options string
		journal bool // one that we can make anew
	}{
		{"-t ext4 -J size=8", true},
		{"-t ext4 -b 1024 -J size=4 -O ^64bit", true},
		{"-t ext4 -J size=8 -O bigalloc", true},
		{"-t ext4 -J size=8,fast_commit_size=256 -O fast_commit", false},
		{"-t ext4 -O ^has_journal", false},
		{"-t ext3", false}, // without extents
		{"-t ext2", false},
	} {
		name := blank(t, 200*mib)
		run(t, "mke2fs", append(strings.Fields("-q -F "+c.options), name)...)
		e := extOf(t, name)
		block := number(t, name, "Block size:")
		used := (number(t, name, "Block count:") - number(t, name, "Free blocks:")) * block
		bigalloc := strings.Contains(c.options, "bigalloc")
		if e.Size != 200*mib || e.Block != block || e.Used != used && !bigalloc || !e.Clean || e.Clusters != bigalloc {
			t.Errorf("%s: %+v, want blocks of %d, %d bytes used", c.options, e, block, used)
		}
		if (e.Journal.Size > 0) != c.journal {
			t.Errorf("%s: journal %+v", c.options, e.Journal)
		}
		if !c.journal {
			continue
		}
		_, extent, _ := strings.Cut(run(t, "debugfs", "-R", "stat <8>", name), "EXTENTS:\n(0-")
		last, place, _ := strings.Cut(extent, "):")
		first, _, _ := strings.Cut(place, "-")
		if want := strconv.FormatInt(e.Journal.Start/block, 10); first != want || strconv.FormatInt(e.Journal.Size/block-1, 10) != last {
			t.Errorf("%s: journal %+v, debugfs says %q", c.options, e.Journal, extent)
		}
	}
}

func TestReadExtThatIsNotClean(t *testing.T) {
	t.Parallel()
	for what, state := range map[string]string{"errors": "2", "mounted": "0"} {
		name := made(t, Format{Type: "ext4", UUID: testUUID, Features: []string{"filetype", "extent"}}, 64*mib)
		run(t, "debugfs", "-w", "-R", "ssv state "+state, name)
		if extOf(t, name).Clean {
			t.Errorf("%s: clean", what)
		}
	}
	name := made(t, Format{Type: "ext4", UUID: testUUID, Features: []string{"has_journal", "filetype", "extent"}}, 64*mib)
	run(t, "debugfs", "-w", "-R", "feature needs_recovery", name)
	if extOf(t, name).Clean {
		t.Error("clean with a journal that was not replayed")
	}
	f, err := os.Open(blank(t, mib))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := ReadExt(f); err == nil {
		t.Error("zeros are no error")
	}
}
