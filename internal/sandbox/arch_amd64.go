package sandbox

import "golang.org/x/sys/unix"

// x32Bit marks the calls of the x32 table (__X32_SYSCALL_BIT).
const x32Bit = 0x40000000

// abis are the tables of an x86-64 kernel: its own, and that of i386, reached by int 0x80 from any
// program (arch/x86/entry/syscalls/syscall_32.tbl).
var abis = []abi{native(unix.AUDIT_ARCH_X86_64, x32Bit), {
	arch:    unix.AUDIT_ARCH_I386,
	syncs:   []uint32{118, 148, 36, 344, 314, 144},                                // as in native, by name
	refused: []uint32{286, 287, 288, 357, 336, 374, 342, 128, 350, 129, 283, 103}, // there is no kexec_file_load
	absent:  []uint32{435, 425, 426, 427, 102},                                    // 102 is socketcall, whose family is in memory
	clones:  []uint32{120, 310},
	ioctls:  []uint32{54},
	sockets: []uint32{359, 360},
	signals: []signalCall{
		{37, 1, toFirst}, {238, 1, toFirst}, {270, 2, toFirst}, {178, 1, toFirst}, {335, 2, toFirst},
		{424, 1, toUnknown}, {172, 1, toSelf},
	},
}}
