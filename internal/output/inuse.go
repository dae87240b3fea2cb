package output

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// QEMU marks what it does with an image, and what it does not let others do, by locks on single bytes (QEMU,
// block/file-posix.c). A lock on this one lets others read, and keeps those away that would write.
const qemuNoWriters = 201

// lock keeps others from writing to the image: QEMU, and other runs of this program.
func (o *Original) lock() error {
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: qemuNoWriters, Len: 1}
	err := unix.FcntlFlock(o.file.Fd(), unix.F_OFD_SETLK, &l)
	if err == nil || !busy(err) {
		err = unix.Flock(int(o.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if busy(err) {
		return fmt.Errorf("%s is in use: another program has locked it; end that first", o.path)
	}
	return nil // a filesystem without locks has none that others could hold
}

func busy(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) }

// patience is how long somebody may have the image open who only looks at it, such as a file manager.
const (
	patience = 2 * time.Second
	pause    = 100 * time.Millisecond
)

// unused fails where somebody else has the image open, in whatever way can be seen.
func (o *Original) unused() error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		by := o.usedBy()
		if by == "" {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is in use: %s; end that first, or write a new image with --output", o.path, by)
		}
	}
}

// usedBy says who has the image open, or "". A process of another container, and the kernel itself, have no name here.
func (o *Original) usedBy() string {
	if who := o.openBy(); who != "" {
		return who
	}
	if device := o.attachedTo(); device != "" {
		return "it is attached to " + device
	}
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(o.file.Fd(), unix.F_OFD_GETLK, &l); err == nil && l.Type != unix.F_UNLCK {
		return "a program that cannot be seen from here has locked it, such as a virtual machine"
	}
	if o.written() {
		return "something that cannot be seen from here has it open to write to, such as a container or a device of the kernel"
	}
	return ""
}

// openBy names a process that has the image open.
func (o *Original) openBy() string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // a pattern that is well formed
	own := "/proc/" + strconv.Itoa(os.Getpid()) + "/"
	for _, link := range links {
		var st unix.Stat_t
		if strings.HasPrefix(link, own) || unix.Stat(link, &st) != nil || st.Ino != o.st.Ino || st.Dev != o.st.Dev {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(process + "/comm") // it may have ended by now
		return fmt.Sprintf("process %s (%s) has it open", filepath.Base(process), strings.TrimSpace(string(name)))
	}
	return ""
}

// attachedTo names a loop device that has the image behind it.
func (o *Original) attachedTo() string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		var st unix.Stat_t
		if unix.Stat(strings.TrimSpace(string(text)), &st) == nil && st.Ino == o.st.Ino && st.Dev == o.st.Dev {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(f)))
		}
	}
	return ""
}

// written tells whether anybody has the image open to write to, be it the kernel: it gives no lease then (fcntl(2)).
// Servers of files give none at all.
func (o *Original) written() bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(int(o.file.Fd()), &fs) != nil || fs.Type == unix.NFS_SUPER_MAGIC {
		return false
	}
	_, err := unix.FcntlInt(o.file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(o.file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}
