package sandbox

import "golang.org/x/sys/unix"

// abis are the tables of an arm64 kernel: its own, and that of 32-bit ARM (arch/arm/tools/syscall.tbl).
var abis = []abi{native(unix.AUDIT_ARCH_AARCH64, 0), {
	arch:    unix.AUDIT_ARCH_ARM,
	syncs:   []uint32{118, 148, 36, 373, 341, 144}, // as in native, by name
	refused: []uint32{309, 310, 311, 386, 364, 388, 371, 128, 379, 129, 347, 401, 103},
	absent:  []uint32{435, 425, 426, 427, 102},
	clones:  []uint32{120, 337},
	ioctls:  []uint32{54},
	sockets: []uint32{281, 288},
	signals: []signalCall{
		{37, 1, toFirst}, {238, 1, toFirst}, {268, 2, toFirst}, {178, 1, toFirst}, {363, 2, toFirst},
		{424, 1, toUnknown}, {172, 1, toSelf},
	},
}}
