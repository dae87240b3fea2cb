package filetree

import (
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// fixed are the flags by which a file cannot be changed, even by root (chattr +i), or only be appended to
// (chattr +a). Their numbers are the same for statx(2) and for the ioctls.
const fixed = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND

// flags are those of an item of a folder, or of the folder itself, which is "."; none where the filesystem has
// no flags.
func (f folder) flags(name string) (int, error) {
	var st unix.Statx_t
	if err := unix.Statx(f.fd, name, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return 0, err
	}
	return int(st.Attributes & fixed), nil
}

// flagged is a file or folder that is to get flags when all else is done.
type flagged struct {
	rel   string
	flags int
}

// note remembers the flags of a file or folder.
func (c *copier) note(from folder, name, rel string) error {
	flags, err := from.flags(name)
	if err != nil {
		return fail("read the flags of", rel, err)
	}
	if flags != 0 && !c.fat(rel) {
		c.fixed = append(c.fixed, flagged{rel, flags})
	}
	return nil
}

// setFlags sets flags of a file or folder, and takes all others of fixed away.
func setFlags(root *rootfs.Root, rel string, flags int) error {
	fd, err := root.OpenExact(rel, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	has, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, has&^fixed|flags)
}

// Loosen takes from all that is in a tree the flags that keep it from being removed.
func Loosen(ctx context.Context, root *rootfs.Root) error { return loosen(ctx, root, "") }

func loosen(ctx context.Context, root *rootfs.Root, rel string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	dir, err := openFolder(root, rel)
	if err != nil {
		return fail("open", rel, err)
	}
	defer dir.close()
	if err := looseOne(root, dir, ".", rel); err != nil {
		return err
	}
	names, err := dir.names()
	if err != nil {
		return fail("list", rel, err)
	}
	for _, n := range names {
		st, err := dir.stat(n)
		below := filepath.Join(rel, n)
		switch kind := st.Mode & unix.S_IFMT; {
		case err != nil:
		case kind == unix.S_IFDIR:
			err = loosen(ctx, root, below)
		case kind == unix.S_IFREG:
			err = looseOne(root, dir, n, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func looseOne(root *rootfs.Root, dir folder, name, rel string) error {
	flags, err := dir.flags(name)
	if err == nil && flags != 0 {
		err = setFlags(root, rel, 0)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fail("make changeable", rel, err)
	}
	return nil
}
