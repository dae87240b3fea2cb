package step

import (
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/machine"
)

// setAnew begin the kernel arguments that a reset of the boot loader sets by itself, for the disk as it is.
var setAnew = []string{"root=", "rootflags=", "ro", "rw", "BOOT_IMAGE=", "roothash", "usrhash", "systemd.verity", "resume=", "security=", "selinux=", "enforcing="}

// dropped are the arguments that the boot loader passed before a reset and does not any more.
func dropped(was, is []string) (gone []string) {
	for _, a := range was {
		anew := slices.ContainsFunc(setAnew, func(p string) bool { return a == p || strings.HasPrefix(a, p) && p != "ro" && p != "rw" })
		if !anew && !slices.Contains(is, a) && !slices.Contains(gone, a) {
			gone = append(gone, a)
		}
	}
	return gone
}

// warnDropped names the arguments that a reset has taken away: who added them may not expect it.
func warnDropped(m *machine.Machine, was []string) {
	scheme, err := boot.Detect(m.Root)
	if err != nil {
		return
	}
	is, err := boot.Args(m.Root, scheme)
	if gone := dropped(was, is); err == nil && len(gone) > 0 {
		m.Log.Warn("setting the boot loader up from scratch dropped kernel arguments that the image had; add those that are needed to os.kernelCommandLine.extraCommandLine",
			"arguments", strings.Join(gone, " "))
	}
}
