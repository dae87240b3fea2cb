package sandbox

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// WithView shows the image's own filesystems at dir, an empty folder of the worker, while f runs:
// read-only, and without what EnterImage and Bind have mounted on them.
func (i *Image) WithView(dir string, f func() error) (err error) {
	fd, err := CloneReadOnly(i.root.Dir())
	if err != nil {
		return fmt.Errorf("copy the mounts of the image: %w", err)
	}
	if err := AttachAt(fd, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)) }()
	root, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	bare := Image{root: root, mounts: slices.Clone(i.mounts)}
	if err := errors.Join(bare.Leave(), root.Close()); err != nil {
		return err
	}
	return f()
}
