package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Stack is what has to be undone, the last first. It is for the successful path: whatever goes wrong
// in it makes the run fail. After a crash the kernel cleans up instead.
type Stack []func() error

// Push adds something to undo.
func (s *Stack) Push(f func() error) { *s = append(*s, f) }

// Undo undoes everything, even after errors, and returns them all.
func (s *Stack) Undo() error {
	var errs []error
	for i := len(*s) - 1; i >= 0; i-- {
		errs = append(errs, (*s)[i]())
	}
	*s = nil
	return errors.Join(errs...)
}

// mountOptions are what a filesystem needs to be mounted beside another with the same UUID, which
// may be the host's own.
var mountOptions = map[string]string{"xfs": "nouuid"}

// MountVolume mounts a filesystem at a folder, nodev. subvol is for btrfs and may be empty.
func MountVolume(device, target, fstype, subvol string, readOnly bool) error {
	var flags uintptr = unix.MS_NODEV | unix.MS_NOATIME
	var options []string
	if o := mountOptions[fstype]; o != "" {
		options = append(options, o)
	}
	if subvol != "" {
		options = append(options, "subvol="+subvol)
	}
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(device, target, fstype, flags, strings.Join(options, ",")); err != nil {
		return fmt.Errorf("mount %s filesystem %s: %w%s", fstype, device, err, kernelHint(fstype, err))
	}
	return nil
}

func kernelHint(fstype string, err error) string {
	if errors.Is(err, unix.ENODEV) {
		return fmt.Sprintf(" (this host's kernel has no %s; try modprobe %s)", fstype, fstype)
	}
	return ""
}

// unmountWait is how long processes that are about to exit may keep a filesystem busy.
const unmountWait = 3 * time.Second

// Unmount unmounts a folder, or says who keeps it busy.
func Unmount(target string) error {
	for end := time.Now().Add(unmountWait); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return fmt.Errorf("unmount %s: %w%s", target, err, users(target))
		}
	}
}

// users names the processes with a root, working folder or open file below a folder.
func users(dir string) string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		links, _ := filepath.Glob(p + "/fd/*")
		for _, l := range append(links, p+"/root", p+"/cwd") {
			to, err := os.Readlink(l)
			if err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
				comm, _ := os.ReadFile(p + "/comm")
				found = append(found, strings.TrimSpace(string(comm))+" ("+filepath.Base(p)+") by "+to)
				break
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "; used by " + strings.Join(found, ", ")
}

// fstrimRange is struct fstrim_range of linux/fs.h.
type fstrimRange struct{ Start, Len, MinLen uint64 }

// Trim punches the free blocks of a mounted filesystem out of the file behind it. A filesystem that
// cannot is no error.
func Trim(target string) error {
	dir, err := os.Open(target)
	if err != nil {
		return err
	}
	defer dir.Close()
	const fitrim = 0xc0185879 // _IOWR('X', 121, struct fstrim_range)
	r := fstrimRange{Len: ^uint64(0)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), fitrim, uintptr(unsafe.Pointer(&r)))
	if errno != 0 && errno != unix.EOPNOTSUPP && errno != unix.ENOTTY {
		return fmt.Errorf("trim %s: %w", target, errno)
	}
	return nil
}

// Space is the size of a mounted filesystem and what root can still write, in bytes.
func Space(target string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(target, &s); err != nil {
		return 0, 0, err
	}
	return s.Blocks * uint64(s.Bsize), s.Bfree * uint64(s.Bsize), nil
}
