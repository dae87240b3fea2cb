package sandbox

import (
	"errors"
	"fmt"

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
	if err := errors.Join(unmountAll(root, i.mounts), root.Close()); err != nil {
		return err
	}
	return f()
}

// unmountAll unmounts, in a copy of the image's mounts, those that are listed.
func unmountAll(root *rootfs.Root, list []mounted) error {
	bare := Image{root: root}
	for _, m := range list {
		at, err := root.MountPoint(m.path)
		if err != nil {
			return errors.Join(err, bare.Leave())
		}
		bare.mounts = append(bare.mounts, mounted{m.path, at, m.bind})
	}
	return bare.Leave()
}
