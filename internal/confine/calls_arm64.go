package confine

import "golang.org/x/sys/unix"

// auditArch is the table of system calls, in which no other begins.
const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	otherTable = 1 << 31
)
