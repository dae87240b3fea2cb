package machine

import (
	"context"
	"log/slog"
	"os"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// Fake is a session of a test, on directories: nothing is attached, mounted or entered, and it needs no root.
type Fake struct {
	*Machine
	Layouts []*disk.Layout   // of the disks that were made
	Done    []string         // what the session did to the host, in order: open, close, create, copy, enter, leave
	Fail    map[string]error // of these, what fails

	roots []*rootfs.Root
}

// NewFake opens a session on the first of the roots. A disk that replaces the other has the next.
func NewFake(facts *Facts, roots ...*rootfs.Root) *Fake {
	f := &Fake{roots: roots}
	f.Machine = &Machine{Facts: facts, Log: slog.Default()}
	f.host = host{
		open: func(context.Context, *os.File, string, ...image.Choice) (*image.Disk, error) {
			if err := f.did("open"); err != nil {
				return nil, err
			}
			return fakeDisk(f.roots[0]), nil
		},
		close: func(*image.Disk) error { return f.did("close") },
		create: func(_ context.Context, _ *os.File, l *disk.Layout) (*image.Disk, error) {
			f.Layouts, f.roots = append(f.Layouts, l), f.roots[1:]
			return fakeDisk(f.roots[0]), f.did("create")
		},
		copy:  func(*Machine, context.Context, *image.Disk, *image.Disk) error { return f.did("copy") },
		enter: func(m *Machine, d *image.Disk) error { m.Root = d.Root; return f.did("enter") },
		leave: func(*sandbox.Image) error { return f.did("leave") },
	}
	f.own.disk, f.Root = fakeDisk(roots[0]), roots[0]
	return f
}

func fakeDisk(root *rootfs.Root) *image.Disk {
	return &image.Disk{Root: root, Mounts: []image.Mounted{{Path: "/"}}, Table: &disk.Table{SectorSize: 512}}
}

// did notes what was done, and fails where it is to.
func (f *Fake) did(what string) error {
	f.Done = append(f.Done, what)
	return f.Fail[what]
}
