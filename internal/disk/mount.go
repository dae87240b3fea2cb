package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Stack is what has to be undone, the last first. It is for the successful path: whatever goes wrong
// in it makes the run fail. After a crash the kernel cleans up instead.
type Stack []func() error

// Push adds something to undo.
func (s *Stack) Push(f func() error) { *s = append(*s, f) }

// Undo undoes everything, even after errors, and returns them all.
func (s *Stack) Undo() error {
	var errs []error
	for len(*s) > 0 {
		last := len(*s) - 1
		f := (*s)[last]
		*s = (*s)[:last]
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// quiet are the flags of every filesystem of an image. Setuid programs count only where programs of the image run.
const quiet = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOATIME

// WriteAtOnce has every file of an ext filesystem that is mounted from now on written out by whoever writes it, in the
// order of the writes. Left to itself, the kernel does so, and chooses the place, when it sees fit.
var WriteAtOnce bool

// MountVolume mounts a filesystem at a folder, nodev and nosuid. options are the filesystem's own, as a comma
// list.
func MountVolume(device, target, fstype, options string, readOnly bool) error {
	var flags uintptr = quiet
	switch fstype {
	case "ext2", "ext3", "ext4": // its superblock may ask for a panic of the kernel where it is damaged
		options = strings.TrimPrefix(options+",errors=remount-ro", ",")
	case "btrfs":
		if err := notOnHost(device); err != nil {
			return err
		}
	}
	switch fstype {
	case "xfs": // another filesystem of the host may have the same UUID
		options = strings.TrimPrefix(options+",nouuid", ",")
	case "ext4": // flushing a loop device writes its whole file, and a run that is cut short leaves none
		options = strings.TrimPrefix(options+",barrier=0", ",")
	}
	if WriteAtOnce && strings.HasPrefix(fstype, "ext") {
		flags |= unix.MS_SYNCHRONOUS
	}
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	err := underMountName(device, func(name string) error { return unix.Mount(name, target, fstype, flags, options) })
	if err != nil {
		return fmt.Errorf("mount the %s filesystem on %s: %w%s", fstype, mountName(device), err, kernelHint(fstype, err))
	}
	return nil
}

// ToolPrefix begins the names that nodes of an image's disk have for the host's programs. Many of them take a
// device for mounted where the host has mounted one of the same name, and the host's /dev/vda1 is none of ours.
const ToolPrefix = "image-"

// mountName is the name that a node has for mounts.
func mountName(device string) string {
	dir, base := filepath.Split(device)
	return dir + strings.TrimPrefix(base, ToolPrefix)
}

// underMountName has f mount a device by the name that the image knows it by, which there is for that moment only.
func underMountName(device string, f func(name string) error) error {
	name := mountName(device)
	if name == device {
		return f(device)
	}
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return err
	}
	if err := unix.Mknod(name, unix.S_IFBLK|0o600, int(st.Rdev)); err != nil {
		return fmt.Errorf("make device node %s: %w", name, err)
	}
	return errors.Join(f(name), os.Remove(name))
}

// SetReadOnly has the kernel refuse, or allow, to write to a block device.
func SetReadOnly(device string, on bool) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	value := 0
	if on {
		value = 1
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, value); err != nil {
		return fmt.Errorf("make %s read-only, or no longer: %w", device, err)
	}
	return nil
}

// Watched is a mounted filesystem that is watched for data that could not be written.
type Watched struct {
	target string
	dir    *os.File
}

// Watch begins to watch a mounted filesystem. Programs write into the kernel's memory, and most never
// ask whether that reached the disk; when it does not, because a filesystem of the host is full, no
// read-only check of the image shows it either.
func Watch(target string) (*Watched, error) {
	dir, err := os.Open(target) // the kernel reports errors that come after this
	if err != nil {
		return nil, err
	}
	return &Watched{target: target, dir: dir}, nil
}

// Unmount writes everything and unmounts. It fails where some data, since Watch, could not be
// written.
func (m *Watched) Unmount() error {
	err := unix.Syncfs(int(m.dir.Fd()))
	switch {
	case errors.Is(err, unix.EROFS):
		err = fmt.Errorf("the kernel found the filesystem damaged, and made it read-only (its log says what is wrong): %w", err)
	case err != nil:
		err = fmt.Errorf("data of the filesystem at %s could not be written, and is lost: %w", rootfs.Shown(m.target), err)
	}
	m.dir.Close()
	return errors.Join(err, Unmount(m.target))
}

func kernelHint(fstype string, err error) string {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Sprintf(" (this host's kernel has no %s; try modprobe %s)", fstype, fstype)
	case errors.Is(err, unix.EBADMSG), errors.Is(err, unix.EUCLEAN):
		return " (it is damaged: a checksum or structure is wrong)"
	case errors.Is(err, unix.EINVAL):
		return " (it is damaged, or has features that this host's kernel does not know; the kernel log says which)"
	}
	return ""
}

// keptOptions are mount options that decide what is written to the disk. All others, such as ro and
// noexec, say how the running system uses a filesystem, and would only be in the way here.
var keptOptions = map[string][]string{"btrfs": {"subvol", "subvolid", "compress", "compress-force"}}

// KeptOptions selects those options of an fstab entry that customizing an image must follow, as a
// comma list.
func KeptOptions(fstype string, options []string) string {
	var kept []string
	for _, o := range options {
		if key, _, _ := strings.Cut(o, "="); slices.Contains(keptOptions[fstype], key) {
			kept = append(kept, o)
		}
	}
	return strings.Join(kept, ",")
}

// busyWait is how long processes that are about to exit may keep a filesystem busy.
const busyWait = 3 * time.Second

// whenIdle does something to a mounted filesystem as soon as nobody is in the way, or says who is.
func whenIdle(what, target string, f func() error) error {
	for end := time.Now().Add(busyWait); ; time.Sleep(10 * time.Millisecond) {
		err := f()
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("%s %s: %w", what, rootfs.Shown(target), err)
		case time.Now().After(end):
			return fmt.Errorf("%s %s: %w%s", what, rootfs.Shown(target), err, users(rootfs.Shown(target)))
		}
	}
}

// Unmount unmounts a folder, or says who keeps it busy.
func Unmount(target string) error {
	return whenIdle("unmount", target, func() error { return unix.Unmount(target, unix.UMOUNT_NOFOLLOW) })
}

// users names the processes with a root, working folder, program or open file below a folder, and
// the mounts there.
func users(dir string) string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		links, _ := filepath.Glob(p + "/fd/*")
		for _, l := range append(links, p+"/root", p+"/cwd", p+"/exe") {
			if to, err := os.Readlink(l); err == nil && within(to, dir) {
				comm, _ := os.ReadFile(p + "/comm")
				found = append(found, fmt.Sprintf("process %s (%s) by %s", filepath.Base(p), strings.TrimSpace(string(comm)), to))
				break
			}
		}
	}
	mounts, _ := mountinfo.GetMounts(nil)
	for _, m := range mounts {
		if m.Mountpoint != dir && within(m.Mountpoint, dir) {
			found = append(found, "the mount at "+m.Mountpoint)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "; used by " + strings.Join(found, ", ")
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// fstrimRange is struct fstrim_range of linux/fs.h.
type fstrimRange struct{ start, length, minimum uint64 }

// fitrim is _IOWR('X', 121, struct fstrim_range) of linux/fs.h.
const fitrim = 0xc0185879

// Trim makes a filesystem read-only, so that it really frees what was deleted (XFS does so in the
// background), and punches its free blocks out of the file behind it. A filesystem that cannot is no
// error.
func Trim(target string) error {
	const flags = unix.MS_REMOUNT | unix.MS_RDONLY | quiet
	if err := whenIdle("make read-only", target, func() error { return unix.Mount("", target, "", flags, "") }); err != nil {
		return err
	}
	dir, err := os.Open(target)
	if err != nil {
		return err
	}
	defer dir.Close()
	r := fstrimRange{length: ^uint64(0)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), fitrim, uintptr(unsafe.Pointer(&r)))
	if errno != 0 && errno != unix.EOPNOTSUPP && errno != unix.ENOTTY {
		return fmt.Errorf("trim %s: %w", rootfs.Shown(target), errno)
	}
	return nil
}

// Space is the size of a mounted filesystem and what root can still write, in bytes.
func Space(target string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(target, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", rootfs.Shown(target), err)
	}
	return s.Blocks * uint64(s.Bsize), s.Bfree * uint64(s.Bsize), nil
}

// MountedRoot is the path, inside its filesystem, of what is mounted at a folder: "/", or that of a
// btrfs subvolume. Empty where nothing is mounted.
func MountedRoot(target string) string {
	root := ""
	target = rootfs.Shown(target)
	_, _ = mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if m.Mountpoint == target {
			root = m.Root // the last one covers those before it
		}
		return true, false
	})
	return root
}
