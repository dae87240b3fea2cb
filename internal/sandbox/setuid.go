package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// imageTypes are the filesystems of images whose setuid programs programs of the image may start.
var imageTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// ownMounts lists where filesystems of an image are mounted at a folder and below it, as it is mounted now. What
// the worker adds, such as /tmp, is none of them, nor is what that covers.
func ownMounts(root string) (list []string, err error) {
	_, err = mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if slices.Contains(imageTypes, m.FSType) && (m.Mountpoint == root || strings.HasPrefix(m.Mountpoint, root+"/")) && isSeen(m.ID, m.Mountpoint) {
			list = append(list, m.Mountpoint)
		}
		return true, false
	})
	return list, err
}

// isSeen tells whether the mount of that number is the one that is found at its place: another may lie over it, or
// over a folder above it.
func isSeen(number int, place string) bool {
	fd, err := openMount(place)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	return err == nil && st.Mnt_id == uint64(number)
}

// openMount opens what is mounted at a path that has no links.
func openMount(place string) (fd int, err error) {
	return unix.Openat2(unix.AT_FDCWD, place, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
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
