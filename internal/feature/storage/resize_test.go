package storage

import (
	"testing"

	"imagecustomizer/internal/machine"
)

func TestFreeOnceGrown(t *testing.T) {
	t.Parallel()
	root, facts := machine.Filesystem{MountPoint: "/", Free: 100}, &machine.Facts{DiskSize: 1000}
	for _, c := range []struct {
		r    *ResizeDisk
		want uint64
	}{
		{nil, 100}, {&ResizeDisk{Auto: true}, 100}, {&ResizeDisk{FreeSpace: 50}, 100}, {&ResizeDisk{FreeSpace: 500}, 500},
		{&ResizeDisk{Size: 1500}, 600}, {&ResizeDisk{Size: 900}, 100}, {&ResizeDisk{FreeSpace: 500, MountPoint: "/var"}, 100},
	} {
		if got := c.r.Free(root, facts); got != c.want {
			t.Errorf("%+v: %d, want %d", c.r, got, c.want)
		}
	}
}
