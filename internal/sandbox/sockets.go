package sandbox

import "golang.org/x/sys/unix"

// socket is a kind of socket that programs of an image may have.
type socket struct{ family, kind, protocol uint32 }

// sockets are all that package managers and scripts need, and that are no doors to rarely used code of the kernel or
// to what the host knows: the host's hypervisor, hardware and the like are families, SCTP, DCCP and SMC are types and
// protocols of the internet's, and netlink tells of the host's devices (uevents), connections, rules and audit.
// Programs that look for these do without: useradd and sudo without audit, udevadm without uevents.
var sockets = []socket{
	{unix.AF_INET, unix.SOCK_STREAM, 0}, {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP},
	{unix.AF_INET, unix.SOCK_DGRAM, 0}, {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, {unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP},
	{unix.AF_INET6, unix.SOCK_STREAM, 0}, {unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP},
	{unix.AF_INET6, unix.SOCK_DGRAM, 0}, {unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, {unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6},
	// Names of hosts are looked for by way of the addresses that this host has.
	{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, {unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_ROUTE},
}

const (
	foreign = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	rare    = unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT)

	and      = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	typeBits = 0xf // of a socket's type: SOCK_TYPE_MASK of linux/net.h; the rest are flags
)

// aboutSockets decides about a call that makes sockets. Those with names in the image's files are all alike.
func aboutSockets() []unix.SockFilter {
	prog := []unix.SockFilter{{Code: load, K: dataArg0}, {Code: equal, K: unix.AF_UNIX, Jf: 1}, {Code: ret, K: allow}}
	for _, s := range sockets {
		prog = append(prog,
			unix.SockFilter{Code: load, K: dataArg0}, unix.SockFilter{Code: equal, K: s.family, Jf: 6},
			unix.SockFilter{Code: load, K: dataArg1}, unix.SockFilter{Code: and, K: typeBits}, unix.SockFilter{Code: equal, K: s.kind, Jf: 3},
			unix.SockFilter{Code: load, K: dataArg2}, unix.SockFilter{Code: equal, K: s.protocol, Jf: 1}, unix.SockFilter{Code: ret, K: allow})
	}
	return append(prog,
		unix.SockFilter{Code: load, K: dataArg0}, unix.SockFilter{Code: equal, K: unix.AF_INET, Jt: 1},
		unix.SockFilter{Code: equal, K: unix.AF_INET6, Jf: 1}, unix.SockFilter{Code: ret, K: rare}, unix.SockFilter{Code: ret, K: foreign})
}
