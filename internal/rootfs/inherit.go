package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// aboutContent are the attributes that vouch for a file's content, or that the kernel takes from a file
// that is written to. They do not go over to a new content.
var aboutContent = []string{"security.capability", "security.ima", "security.evm"}

// acl is the attribute that a new file can have from its folder.
const acl = "system.posix_acl_access"

// inherit gives a file the owner, mode and extended attributes of another.
func inherit(f, from *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	attrs, err := attributes(from)
	if err != nil {
		return err
	}
	if _, ok := attrs[acl]; !ok {
		_ = unix.Fremovexattr(int(f.Fd()), acl) // most have none
	}
	for name, value := range attrs {
		if slices.Contains(aboutContent, name) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, value, 0); err != nil {
			return fmt.Errorf("keep the attribute %s: %w", name, err)
		}
	}
	return unix.Fchmod(int(f.Fd()), st.Mode&0o7777)
}

// attributes reads the extended attributes of a file.
func attributes(f *os.File) (map[string][]byte, error) {
	names, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), b) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attrs := map[string][]byte{}
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name == "" {
			continue
		}
		if attrs[name], err = sized(func(b []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, b) }); err != nil {
			return nil, err
		}
	}
	return attrs, nil
}

// sized reads something whose size the kernel tells first.
func sized(read func(b []byte) (int, error)) ([]byte, error) {
	n, err := read(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	b := make([]byte, n)
	n, err = read(b)
	return b[:max(n, 0)], err
}
