// Package confine fences in a thread, and thereby the program that it starts: it loses all capabilities but
// those named, can never gain any, opens only the files named, and cannot make sockets, mount, trace or reach
// other doors of the kernel. A thread is fenced in, not the process, so that nothing has to be started in
// between: a child has the fences of the thread that forked it.
package confine

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Fence says what a program may do.
type Fence struct {
	Capabilities []uintptr // that it keeps, where we have them
	Read         []string  // files, and folders with all in them, that it may read besides programs
	Write        []string  // ... and write
	Files        []uintptr // descriptors whose files it may open again, for what they are open for
}

// Run calls f on a thread that is fenced in. The thread stays until f returns, and no other code ever runs on
// it: the Go runtime starts no thread from one that is locked, and ends this one with its goroutine.
func Run(fence Fence, f func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := fence.enter()
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

// enter fences in the calling thread. Every step is allowed to a user without privileges.
func (f Fence) enter() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := f.restrictFiles(); err != nil {
		return fmt.Errorf("restrict files (Landlock): %w", err)
	}
	if err := dropCapabilities(f.Capabilities); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := filterCalls(); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}

// lastCapability is more than any kernel knows.
const lastCapability = 63

// dropCapabilities keeps of this thread's capabilities those named. The bounding set decides what a program
// of root has, the others what a program of anybody else has.
func dropCapabilities(keep []uintptr) error {
	var bits uint64
	for _, c := range keep {
		bits |= 1 << c
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		for c := uintptr(0); c <= lastCapability; c++ {
			if bits&(1<<c) != 0 {
				continue
			}
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL { // unknown
				return err
			}
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return err
	}
	for i := range data {
		allowed := data[i].Permitted & uint32(bits>>(32*i))
		data[i] = unix.CapUserData{Effective: allowed, Permitted: allowed}
	}
	return unix.Capset(&header, &data[0])
}
