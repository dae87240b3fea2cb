package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ownFile is where the worker has a read-only mount of the program's own file, and of nothing else.
const ownFile = Work + "/self"

// aboveAll is a descriptor number that no program is handed files at: one below could be taken by another
// file between fork and exec.
const aboveAll = 512

// ownMount returns a detached, read-only mount of this program's file. Whoever reaches the file of a running
// program through /proc/PID/exe reaches it by the mount that it was started from: on this one chmod, chown and
// setxattr fail, which they do not on the host's mount, nor on a sealed memfd.
func ownMount() (*os.File, error) {
	fd, err := cloneOwnFile()
	if err != nil {
		return nil, fmt.Errorf("copy the mount of this program: %w", err)
	}
	defer unix.Close(fd)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return nil, fmt.Errorf("make the mount of this program read-only: %w", err)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, aboveAll)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(high), "own mount"), nil
}

// cloneOwnFile copies the mount that the worker has, or that of the file this process runs. The mount that the
// process was started from may belong to another namespace, where it cannot be copied: then the file is
// looked for by its name.
func cloneOwnFile() (int, error) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	fd, err := unix.OpenTree(unix.AT_FDCWD, ownFile, flags)
	if err == nil {
		return fd, nil
	}
	if fd, err = unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe", flags); !errors.Is(err, unix.EINVAL) {
		return fd, err
	}
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return -1, err
	}
	if fd, err = unix.OpenTree(unix.AT_FDCWD, name, flags); err != nil {
		return -1, err
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &a), unix.Stat("/proc/self/exe", &b)); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return -1, errors.Join(fmt.Errorf("another file is called %s by now", name), unix.Close(fd))
	}
	return fd, nil
}

// startPath names an open file for exec by a child of this process.
func startPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// neverAgain makes a mount one that nothing is started from any more. An image could otherwise have this
// program started as one of its own, by a link to /proc/self/exe or as "#!/proc/self/exe".
func neverAgain(own *os.File) error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(int(own.Fd()), "", unix.AT_EMPTY_PATH, attr); err != nil {
		return fmt.Errorf("forbid starting this program from inside the image: %w", err)
	}
	return nil
}
