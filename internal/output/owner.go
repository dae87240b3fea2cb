package output

import (
	"os"
	"strconv"
)

// owner is who outputs belong to; the zero value means whoever runs the program.
type owner struct {
	uid, gid int
	set      bool
}

// caller is the user who called sudo, as sudo tells it, when the program runs as root.
func caller() owner {
	if os.Geteuid() != 0 {
		return owner{}
	}
	return parseOwner(os.Getenv("SUDO_UID"), os.Getenv("SUDO_GID"))
}

// parseOwner reads the two numbers. Anything but two numbers that chown takes sets no owner; so does
// 4294967295, which would mean "leave as it is".
func parseOwner(uid, gid string) owner {
	u, err := strconv.ParseUint(uid, 10, 32)
	g, err2 := strconv.ParseUint(gid, 10, 32)
	const unchanged = 1<<32 - 1
	if err != nil || err2 != nil || u == unchanged || g == unchanged {
		return owner{}
	}
	return owner{uid: int(u), gid: int(g), set: true}
}

func (o owner) chown(f *os.File) error {
	if !o.set {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

func (o owner) lchown(path string) error {
	if !o.set {
		return nil
	}
	return os.Lchown(path, o.uid, o.gid)
}
