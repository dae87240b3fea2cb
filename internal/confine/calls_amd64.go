package confine

import "golang.org/x/sys/unix"

// auditArch is the table of system calls; otherTable is where that of x32 begins in it (linux/unistd_x32.h).
const (
	auditArch  = unix.AUDIT_ARCH_X86_64
	otherTable = 0x40000000
)
