package output

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Flags of files, FS_IOC_GETFLAGS(2const).
const (
	fsCompress  = 0x4
	fsImmutable = 0x10
	fsAppend    = 0x20
	fsNoDump    = 0x40
	fsNoAtime   = 0x80
	fsNoCompr   = 0x400
	fsNoCow     = 0x800000
	fsKept      = fsCompress | fsNoDump | fsNoAtime | fsNoCompr | fsNoCow
)

// prepare gives an empty file what it cannot get later: on btrfs, that it is not copied on write.
func (o *Original) prepare(file *os.File) error {
	from, err := unix.IoctlGetInt(int(o.file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || from&fsKept == 0 {
		return nil //nolint:nilerr // a filesystem without flags has none to keep
	}
	to, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && to&fsKept != from&fsKept {
		err = unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, to&^fsKept|from&fsKept)
	}
	if err != nil {
		return fmt.Errorf("give it the flags that the image has (lsattr): %w", err)
	}
	return nil
}

// finish gives the file the owner, permissions and attributes of the image, those for access control lists and SELinux
// among them.
func (o *Original) finish(file *os.File) error {
	if err := file.Chown(int(o.st.Uid), int(o.st.Gid)); err != nil {
		return fmt.Errorf("give it the owner of the image: %w", err)
	}
	want, err := attributes(o.file)
	if err != nil {
		return fmt.Errorf("read the attributes of the image: %w", err)
	}
	have, err := attributes(file)
	if err != nil {
		return err
	}
	for name, value := range want {
		if v, there := have[name]; there && bytes.Equal(v, value) {
			continue
		}
		if err := unix.Fsetxattr(int(file.Fd()), name, value, 0); err != nil {
			return fmt.Errorf("give it the attribute %s of the image: %w", name, err)
		}
	}
	for name := range have { // that it got from its directory, by a default list of who may do what
		if _, there := want[name]; !there {
			if err := unix.Fremovexattr(int(file.Fd()), name); err != nil && !errors.Is(err, unix.ENODATA) {
				return fmt.Errorf("take the attribute %s from it, which the image does not have: %w", name, err)
			}
		}
	}
	const bits = 0o7777
	if err := unix.Fchmod(int(file.Fd()), o.st.Mode&bits); err != nil {
		return fmt.Errorf("give it the permissions of the image: %w", err)
	}
	return nil
}

// attributes are the extended attributes of a file, but for hashes and signatures of its content, which the kernel keeps.
func attributes(file *os.File) (map[string][]byte, error) {
	all := map[string][]byte{}
	names, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(int(file.Fd()), b) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" || name == "security.ima" || name == "security.evm" {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Fgetxattr(int(file.Fd()), name, b) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = value
	}
	return all, nil
}

// sized calls what fills a buffer with one that is large enough.
func sized(fill func([]byte) (int, error)) ([]byte, error) {
	const most = 1 << 20 // larger than any filesystem allows
	for {
		n, err := fill(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		if n, err = fill(b); !errors.Is(err, unix.ERANGE) || len(b) > most {
			return b[:max(n, 0)], err
		}
	}
}
