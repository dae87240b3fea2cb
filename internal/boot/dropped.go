package boot

import (
	"slices"
	"strings"
)

// setAnew begin the kernel arguments that a reset of the boot loader sets by itself, for the disk as it is.
var setAnew = []string{"root=", "rootflags=", "ro", "rw", "BOOT_IMAGE=", "roothash", "usrhash", "systemd.verity", "resume=", "security=", "selinux=", "enforcing="}

// Dropped are the arguments that the boot loader passed before a reset and does not any more.
func Dropped(was, is []string) (gone []string) {
	for _, a := range was {
		anew := slices.ContainsFunc(setAnew, func(p string) bool { return a == p || strings.HasPrefix(a, p) && p != "ro" && p != "rw" })
		if !anew && !slices.Contains(is, a) && !slices.Contains(gone, a) {
			gone = append(gone, a)
		}
	}
	return gone
}
