package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program that is killed without its parent noticing leaves half an image: an initramfs without udev, say,
// and exit status 0. The kernel's process accounting tells of every process how it ended (acct(2)), and
// the system call filter of every SIGKILL that comes from inside. What is killed without that was killed
// by the kernel, for want of memory, or by somebody on the host.

// accounting is what the kernel writes about the processes of this PID namespace.
type accounting struct {
	records *os.File // nil where the kernel or a container offers none
	kills   *kills
}

// maxRecords is how much the kernel may write, in bytes: those of a quarter of a million of processes.
const maxRecords = 16 << 20

// account begins accounting, in the image at root. The records lie on a filesystem at /proc, that of the kernel
// covers it afterwards: accounting ends when its filesystem is unmounted.
func (a *accounting) account(root string) error {
	proc, err := procOf(root)
	if err != nil {
		return err
	}
	if err := unix.Mount("accounts", proc, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("mode=700,size=%d", maxRecords)); err != nil {
		return err
	}
	file := filepath.Join(proc, "records")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	name, err := unix.BytePtrFromString(file)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_ACCT, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
		return nil // without CAP_SYS_PACCT, or not in this kernel
	}
	a.records, err = os.Open(file)
	return err
}

// Fields of struct acct_v3 (linux/acct.h).
const (
	recordSize    = 64
	recordVersion = 1
	recordStatus  = 4
	recordPID     = 16
	recordName    = 48
	version3      = 3
	accSignal     = 0x10 // AXSIG, in the first byte
)

// killed names the programs that something outside of the namespaces has killed.
func (a *accounting) killed() (names []string) {
	if a.records == nil || a.kills == nil {
		return nil
	}
	all, _ := io.ReadAll(io.LimitReader(a.records, maxRecords))
	for r := range slices.Chunk(all, recordSize) {
		if len(r) < recordSize || r[recordVersion]&0xf != version3 || r[0]&accSignal == 0 {
			continue
		}
		status := unix.WaitStatus(binary.NativeEndian.Uint32(r[recordStatus:]))
		pid := binary.NativeEndian.Uint32(r[recordPID:])
		if status.Signal() == unix.SIGKILL && !a.kills.meant(int32(pid)) {
			names = append(names, unix.ByteSliceToString(r[recordName:]))
		}
	}
	return names
}

// kills are the SIGKILLs that came from inside.
type kills struct {
	mu      sync.Mutex
	pids    map[int32]bool
	unknown bool // one went to a group, to all, or will be sent by the kernel for one that asked for it
}

func (k *kills) meant(pid int32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unknown || k.pids[pid]
}

// note remembers whom a call is to end.
func (k *kills) note(n notification) {
	k.mu.Lock()
	defer k.mu.Unlock()
	to := toUnknown
	for _, a := range abis {
		if i := slices.IndexFunc(a.signals, func(c signalCall) bool { return c.nr == uint32(n.nr) }); a.arch == n.arch && i >= 0 {
			to = a.signals[i].to
		}
	}
	if pid := int32(n.args[0]); to == toFirst && pid > 0 {
		k.pids[pid] = true
	} else {
		k.unknown = true
	}
}

// notification is struct seccomp_notif, answer struct seccomp_notif_resp (linux/seccomp.h).
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	_          uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// Orders of a filter's listener, and the flag by which a call goes on as if nobody had asked.
const (
	notifReceive = 0xC0502100
	notifSend    = 0xC0182101
	goOn         = 1
)

// watchKills lets every call pass that the filter tells of, and notes whom it is to end.
func watchKills(listener int) *kills {
	k := &kills{pids: map[int32]bool{}}
	go func() {
		for {
			var n notification
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifReceive, uintptr(unsafe.Pointer(&n)))
			if errno == unix.EINTR || errno == unix.ENOENT { // whoever called is dead by now
				continue
			}
			if errno != 0 {
				return
			}
			k.note(n)
			a := answer{id: n.id, flags: goOn}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifSend, uintptr(unsafe.Pointer(&a)))
		}
	}()
	return k
}

// errKilled explains what was found; the error of a program that failed for it comes first.
func errKilled(c fmt.Stringer, names []string, err error) error {
	if len(names) == 0 {
		return err
	}
	slices.Sort(names)
	return errors.Join(err, fmt.Errorf("%s: killed from outside of the image, for want of memory or by somebody on the host: %v", c, slices.Compact(names)))
}
