package confine

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of Landlock (Documentation/userspace-api/landlock.rst of the kernel).
const (
	readRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	allRights  = 1<<15 - 1 // of ABI 3
)

// firstRights are all rights of the first version; refer and truncate came with versions 2 and 3.
const firstRights = 1<<13 - 1

// programPlaces hold programs and their libraries.
var programPlaces = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store",
}

// readPlaces are what programs read of a system besides; nothing of them is a secret.
var readPlaces = []string{
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/alternatives", "/etc/localtime", "/etc/locale.alias", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
	"/etc/mke2fs.conf", "/etc/e2fsck.conf", "/etc/mtools.conf", "/etc/rpm", "/etc/magic",
	"/proc", "/sys", "/dev/random", "/dev/urandom",
}

// writePlaces are devices without content.
var writePlaces = []string{"/dev/null", "/dev/zero", "/dev/full"}

// landlock is what this kernel has of it.
var landlock = sync.OnceValue(func() (l struct {
	rights uint64
	scopes uint64
}) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		slog.Debug("this kernel has no Landlock: programs that parse images are kept from files by their lack of capabilities only", "error", errno)
		return l
	}
	l.rights = firstRights
	if version >= 2 {
		l.rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		l.rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 6 {
		l.scopes = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		// Where an error is not mended, a thread's scope hides the process it belongs to from its own signals.
		const mended = 1 << 1
		if errata, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA); errno == 0 && errata&mended != 0 {
			l.scopes |= unix.LANDLOCK_SCOPE_SIGNAL
		}
	}
	return l
})

// ruleset is a set of rules being made.
type ruleset struct {
	fd     int
	rights uint64
}

func (f Fence) restrictFiles() error {
	has := landlock()
	if has.rights == 0 {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: has.rights, Scoped: has.scopes}
	size := uintptr(8) // of the field that every version has
	if has.scopes != 0 {
		size = 3 * 8
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	if err := f.addRules(ruleset{int(fd), has.rights}); err != nil {
		return err
	}
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (f Fence) addRules(r ruleset) error {
	for _, group := range []struct {
		paths    []string
		rights   uint64
		required bool
	}{
		{programPlaces, readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE, false},
		{readPlaces, readRights, false},
		{writePlaces, readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE, false},
		{f.Read, readRights, true},
		{f.Write, allRights &^ unix.LANDLOCK_ACCESS_FS_EXECUTE, true},
	} {
		for _, p := range group.paths {
			if err := r.path(p, group.rights); err != nil && (group.required || !errors.Is(err, unix.ENOENT)) {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
	}
	for _, fd := range f.Files {
		if err := r.descriptor(fd); err != nil {
			return err
		}
	}
	return nil
}

func (r ruleset) path(name string, rights uint64) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return r.add(fd, rights)
}

// descriptor allows a file to be opened again as it is open.
func (r ruleset) descriptor(fd uintptr) error {
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	rights := uint64(readRights)
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		rights = allRights &^ unix.LANDLOCK_ACCESS_FS_EXECUTE
	}
	err = r.add(int(fd), rights)
	if errors.Is(err, unix.EBADFD) { // a pipe, or a file in memory, which Landlock does not restrict
		return nil
	}
	return err
}

func (r ruleset) add(fd int, rights uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
