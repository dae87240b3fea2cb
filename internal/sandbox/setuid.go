package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// imageTypes are the filesystems of images whose setuid programs programs of the image may start.
var imageTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// ownMounts lists where filesystems of an image are mounted at a folder and below it, as it is mounted now. What
// the worker adds, such as /tmp, is none of them, nor is what that covers.
func ownMounts(root string) (list []string, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		at, fs := strings.Fields(before), strings.Fields(after)
		if len(at) < 5 || len(fs) < 1 || !slices.Contains(imageTypes, fs[0]) {
			continue
		}
		if place := unescape(at[4]); (place == root || strings.HasPrefix(place, root+"/")) && isSeen(at[0], place) {
			list = append(list, place)
		}
	}
	return list, lines.Err()
}

// isSeen tells whether the mount of that number is the one that is found at its place: another may lie over it, or
// over a folder above it.
func isSeen(number, place string) bool {
	fd, err := openMount(place)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	return err == nil && strconv.FormatUint(st.Mnt_id, 10) == number
}

// openMount opens what is mounted at a path that has no links.
func openMount(place string) (fd int, err error) {
	return unix.Openat2(unix.AT_FDCWD, place, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
}

// unescape undoes how the kernel writes blanks and backslashes in mountinfo.
func unescape(s string) string {
	for i := 0; i+3 < len(s); i++ {
		if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); s[i] == '\\' && err == nil {
			s = s[:i] + string([]byte{byte(n)}) + s[i+4:]
		}
	}
	return s
}

// allowSetuid lets setuid programs of the image be what they are, in this mount namespace only.
func (o *order) allowSetuid() error {
	for _, place := range o.Setuid {
		fd, err := openMount(place)
		if err != nil {
			return fmt.Errorf("find the mount at %s: %w", place, err)
		}
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NOSUID})
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("allow setuid programs of %s: %w", place, err)
		}
	}
	return nil
}
