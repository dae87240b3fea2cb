package filetree

import (
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// futimens sets the times of an open file.
func futimens(fd int, times []unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// holder reads the extended attributes of one file.
type holder struct {
	list func(buf []byte) (int, error)
	get  func(name string, buf []byte) (int, error)
}

func byFD(fd int) holder {
	return holder{
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(n string, b []byte) (int, error) { return unix.Fgetxattr(fd, n, b) },
	}
}

// byPath is for a path of this process to an open file.
func byPath(path string) holder {
	return holder{
		func(b []byte) (int, error) { return unix.Listxattr(path, b) },
		func(n string, b []byte) (int, error) { return unix.Getxattr(path, n, b) },
	}
}

// readAttrs reads all extended attributes but those that belong to a kind of filesystem.
func readAttrs(h holder) (map[string][]byte, error) {
	size, err := h.list(nil)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, size)
	if size, err = h.list(buf); err != nil {
		return nil, err
	}
	attrs := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:size]), "\x00"), "\x00") {
		if name == "" || foreign(name) {
			continue
		}
		n, err := h.get(name, nil)
		if err != nil {
			return nil, err
		}
		value := make([]byte, n)
		if n, err = h.get(name, value); err != nil {
			return nil, err
		}
		attrs[name] = value[:n]
	}
	return attrs, nil
}

// foreign tells whether an attribute belongs to a kind of filesystem: properties of btrfs, and the
// form in which XFS keeps ACLs, which it shows under their own names too.
func foreign(name string) bool {
	return strings.HasPrefix(name, "btrfs.") || strings.HasPrefix(name, "trusted.SGI_ACL_")
}
