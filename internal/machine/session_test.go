package machine

import (
	"errors"
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
)

func fake(t *testing.T, fail ...string) *Fake {
	t.Helper()
	var roots []*rootfs.Root
	for range 2 {
		root, err := rootfs.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		roots = append(roots, root)
	}
	f := NewFake(&Facts{}, roots...)
	f.Fail = map[string]error{}
	for _, what := range fail {
		f.Fail[what] = errors.New(what + " failed")
	}
	return f
}

// TestSessionDoesThingsInOrder changes a disk, and puts another in its place, where all goes well and where each part of
// it fails in turn. Whatever happens, closing leaves the image before it closes its disks, the newest first.
func TestSessionDoesThingsInOrder(t *testing.T) {
	t.Parallel()
	changed := func(f *Fake) error {
		return f.Change(t.Context(), func(*os.File) error { return f.did("change") })
	}
	replaced := func(f *Fake) error { return f.NewDisk(t.Context(), &disk.Layout{}) }
	for name, c := range map[string]struct {
		do   func(*Fake) error
		fail string
		done string
	}{
		"change":                   {changed, "", "leave close change open enter | leave close"},
		"change, it cannot leave":  {changed, "leave", "leave | leave close"},
		"change, it cannot close":  {changed, "close", "leave close | leave close"},
		"change, which fails":      {changed, "change", "leave close change | leave close"},
		"change, not opened again": {changed, "open", "leave close change open | leave"},
		"change, not entered":      {changed, "enter", "leave close change open enter | leave close"},
		"replace":                  {replaced, "", "leave create copy close enter | leave close"},
		"replace, not made":        {replaced, "create", "leave create | leave close"},
		"replace, not copied":      {replaced, "copy", "leave create copy | leave close close"},
		"replace, old not closed":  {replaced, "close", "leave create copy close | leave close close"},
		"replace, not entered":     {replaced, "enter", "leave create copy close enter | leave close"},
	} {
		var fail []string
		if c.fail != "" {
			fail = append(fail, c.fail)
		}
		f := fake(t, fail...)
		if err := c.do(f); (err != nil) != (c.fail != "") {
			t.Errorf("%s: %v", name, err)
		}
		f.Done, f.Fail = append(f.Done, "|"), nil
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := strings.Join(f.Done, " "); got != c.done {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.done)
		}
	}
}

// TestClosingGoesOn closes what it can, and tells all that went wrong.
func TestClosingGoesOn(t *testing.T) {
	t.Parallel()
	f := fake(t, "leave", "close")
	f.own.scratch.Push(func() error { return errors.New("scratch failed") })
	if err := f.Close(); err == nil || err.Error() != "scratch failed\nleave failed\nclose failed" {
		t.Errorf("%v", err)
	}
}

// TestReplacedDiskIsTheSessions has the new root, layout and file in the place of the old ones.
func TestReplacedDiskIsTheSessions(t *testing.T) {
	t.Parallel()
	f := fake(t)
	second, spare, l := f.roots[1], &os.File{}, &disk.Layout{}
	f.options.Spare = spare
	if err := f.NewDisk(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if f.Root != second || f.Opened().Root != second || f.Disk != spare || len(f.Layouts) != 1 || f.Layouts[0] != l {
		t.Errorf("%+v", f)
	}
}
