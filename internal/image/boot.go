package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
)

// heldBoot is a filesystem of the image that stays mounted when the tree is unmounted.
type heldBoot struct {
	root *rootfs.Root
	dir  string
}

const bootDir = "/boot"

// HoldBoot keeps the filesystem that /boot lies on writable beyond Unmount, for what can only be written there
// when the others are complete. dir is a folder of the worker for it. ReleaseBoot must follow.
func (d *Disk) HoldBoot(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := d.atMount(bootDir, func(boot string) error { return unix.Mount(boot, dir, "", unix.MS_BIND, "") }); err != nil {
		return fmt.Errorf("hold %s: %w", bootDir, err)
	}
	root, err := rootfs.New(dir)
	if err != nil {
		return errors.Join(err, disk.Unmount(dir))
	}
	d.held = &heldBoot{root, dir}
	return nil
}

// holds tells whether a volume is still mounted, because /boot lies on it.
func (d *Disk) holds(v disk.Volume) bool {
	var on Mounted
	for _, m := range d.Mounts {
		if (m.Path == "/" || m.Path == bootDir) && len(m.Path) > len(on.Path) {
			on = m
		}
	}
	return d.held != nil && on.Volume.Number == v.Number
}

// ReleaseBoot trims and unmounts what HoldBoot held.
func (d *Disk) ReleaseBoot() error {
	if d.held == nil {
		return nil
	}
	h := d.held
	d.held = nil
	return errors.Join(h.root.Close(), disk.Trim(h.dir), disk.Unmount(h.dir))
}

// Boot is access to the files of the held /boot, by their paths in the image. There is nothing else.
func (d *Disk) Boot() BootFiles { return BootFiles{d.held.root} }

// BootFiles are the files below /boot of an image.
type BootFiles struct{ root *rootfs.Root }

func (b BootFiles) inside(name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, bootDir+"/"); ok {
		return "/" + rest, nil
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadFile returns the content of a text file.
func (b BootFiles) ReadFile(name string) ([]byte, error) { return b.ReadAs(rootfs.Text, name) }

// ReadAs returns a file's content, if it is no larger than a file of that kind may be.
func (b BootFiles) ReadAs(k rootfs.Kind, name string) ([]byte, error) {
	p, err := b.inside(name)
	if err != nil {
		return nil, err
	}
	return b.root.ReadAs(k, p)
}

// WriteFile replaces a file's content under the rules of rootfs.
func (b BootFiles) WriteFile(name string, data []byte, mode fs.FileMode) error {
	p, err := b.inside(name)
	if err != nil {
		return err
	}
	return b.root.WriteFile(p, data, mode)
}

// ReadDir lists a folder.
func (b BootFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	p, err := b.inside(name)
	if err != nil {
		return nil, err
	}
	return b.root.ReadDir(p)
}

// BootUUID identifies the filesystem at /boot.
func (d *Disk) BootUUID() string {
	for _, m := range d.Mounts {
		if m.Path == bootDir {
			return m.Volume.Content.UUID
		}
	}
	return ""
}
