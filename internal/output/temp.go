package output

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/sandbox"
)

// fileMode is that of outputs; the umask takes from it.
const fileMode = 0o644

// openUnnamed opens a file without a name, which the kernel frees by itself.
func openUnnamed(dir *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, fileMode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "unnamed output"), nil
}

// tempPattern is the names of our files that wait for their final name; the number is the process.
var tempPattern = regexp.MustCompile(`^\.imagecustomizer-([1-9][0-9]{0,9})-[A-Z2-7]+\.tmp$`)

func tempName() string {
	return fmt.Sprintf(".imagecustomizer-%d-%s.tmp", os.Getpid(), rand.Text())
}

// noUnnamed tells whether the error says that the filesystem has no unnamed files: not supported, or
// by a filesystem that took the flags for another request.
func noUnnamed(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT)
}

// openScratch opens a temporary file that no folder lists.
func openScratch(dir *os.File) (*os.File, error) {
	f, err := openUnnamed(dir)
	if !noUnnamed(err) {
		return f, err
	}
	name, f, err := openNamed(dir)
	if err != nil {
		return nil, err
	}
	return f, unix.Unlinkat(int(dir.Fd()), name, 0)
}

// openNamed opens a file with a temporary name, for filesystems without unnamed ones. A lock marks
// it as being in use, for as long as any process has it open.
func openNamed(dir *os.File) (name string, f *os.File, err error) {
	name = tempName()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return "", nil, err
	}
	f = os.NewFile(uintptr(fd), name)
	_ = lock(f) // where locks do not work, removeStale cannot take one either
	return name, f, nil
}

// lock takes the first byte: QEMU locks bytes 100 and later of the same file.
func lock(f *os.File) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// removeStale removes temporary files of ended runs. A file is stale when the process in its name is
// gone and nobody holds its lock: process numbers say nothing across containers, and the lock is
// taken a moment after the file is made.
func removeStale(dir *os.File) {
	list, err := os.Open(sandbox.Path(dir)) // a second descriptor, with a read position of its own
	if err != nil {
		return
	}
	defer list.Close()
	names, _ := list.Readdirnames(-1)
	for _, name := range names {
		if m := tempPattern.FindStringSubmatch(name); m != nil && ended(m[1]) && unlocked(dir, name) {
			_ = unix.Unlinkat(int(dir.Fd()), name, 0)
		}
	}
}

func ended(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && errors.Is(unix.Kill(n, 0), unix.ESRCH)
}

func unlocked(dir *os.File, name string) bool {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return lock(f) == nil
}
