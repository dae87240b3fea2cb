package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Image is an image's root made ready for running its programs: /dev, /sys, /run and /tmp are mounted in it,
// none of them the host's. Each program has a /proc of its own.
type Image struct {
	root   *rootfs.Root
	mounts []mounted // below the root folder, in the order of mounting
}

// mounted is one mount in an image.
type mounted struct {
	path string
	at   *rootfs.MountPoint
	bind bool // a view of files of the worker, with whatever is mounted below them
}

// EnterImage mounts the kernel's interfaces in the image mounted at root.Dir(). nodes are device
// nodes of the image's own disk, by name below /dev, and links are symbolic links there.
func EnterImage(root *rootfs.Root, nodes map[string]uint64, links map[string]string) (*Image, error) {
	i := &Image{root: root}
	if err := i.enter(nodes, links); err != nil {
		return nil, errors.Join(err, i.Leave())
	}
	return i, nil
}

func (i *Image) enter(nodes map[string]uint64, links map[string]string) error {
	dev := func() error { return i.fillDev(nodes, links) }
	sys := func() error { return i.fillSys(nodes) }
	for _, m := range []struct {
		path, fs, opts string
		flags          uintptr
		then           func() error
	}{
		{"/dev", "tmpfs", "mode=755,size=1m", unix.MS_NOSUID, dev},
		{"/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5", unix.MS_NOSUID | unix.MS_NOEXEC, nil},
		{"/dev/shm", "tmpfs", "mode=1777,size=10%", unix.MS_NOSUID | unix.MS_NODEV, i.protectDev},
		{"/sys", "tmpfs", "mode=755,size=1m", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, sys},
		{"/run", "tmpfs", "mode=755,size=10%", unix.MS_NOSUID | unix.MS_NODEV, i.fillRun},
		{"/tmp", "tmpfs", "mode=1777,size=40%", unix.MS_NOSUID | unix.MS_NODEV, nil},
	} {
		if err := i.mount(m.path, m.fs, m.flags, m.opts); err != nil {
			return err
		}
		if m.then != nil {
			if err := m.then(); err != nil {
				return err
			}
		}
	}
	return nil
}

// mount mounts a new filesystem at a path of the image.
func (i *Image) mount(path, fstype string, flags uintptr, opts string) error {
	return i.at(path, func(target string) error { return unix.Mount(fstype, target, fstype, flags, opts) })
}

// at resolves a path inside the image, lets f mount there and remembers it.
func (i *Image) at(path string, f func(target string) error) error {
	p, err := i.root.MountPoint(path)
	if err != nil {
		return fmt.Errorf("the image has no %s to mount on: %w", path, err)
	}
	if err := p.On(f); err != nil {
		fi, statErr := i.root.Stat(path)
		if mismatch := errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EINVAL); mismatch && statErr == nil && !fi.IsDir() {
			err = errors.New("the image has something there that is no folder")
		}
		return errors.Join(fmt.Errorf("mount %s in the image: %w", path, err), p.Close())
	}
	i.mounts = append(i.mounts, mounted{path: path, at: p})
	return nil
}

func (i *Image) fillDev(nodes map[string]uint64, links map[string]string) error {
	dev, err := i.root.Sub("/dev") // a tmpfs just made: nothing in it can mislead us
	if err != nil {
		return err
	}
	defer dev.Close()
	dir := dev.Handle()
	if err := makeNodes(dir, standardDevices); err != nil {
		return err
	}
	for name, number := range nodes {
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFBLK|0o600, int(number)); err != nil {
			return fmt.Errorf("make device node %s: %w", name, err)
		}
	}
	for name, target := range links {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	if err := os.Symlink("pts/ptmx", filepath.Join(dir, "ptmx")); err != nil {
		return err
	}
	return errors.Join(os.Mkdir(filepath.Join(dir, "pts"), 0o755), os.Mkdir(filepath.Join(dir, "shm"), 0o755))
}

// protectDev makes /dev itself read-only, so that no further node appears there.
func (i *Image) protectDev() error {
	return i.remount("/dev", unix.MS_RDONLY|unix.MS_NOSUID)
}

func (i *Image) remount(path string, flags uintptr) error {
	p, err := i.root.OpenPath(path)
	if err != nil {
		return err
	}
	defer p.Close()
	return unix.Mount("", fmt.Sprintf("/proc/self/fd/%d", p.Fd()), "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
}

// fillRun makes what programs expect of a running system's /run.
func (i *Image) fillRun() error {
	return errors.Join(i.root.MkdirAll("/run/lock", 0o755), i.root.Chmod("/run/lock", 0o777|os.ModeSticky))
}

// Bind shows a folder or file of the worker at an existing path of the image.
func (i *Image) Bind(src, path string, readOnly bool) error {
	err := i.at(path, func(target string) error {
		if !readOnly {
			return unix.Mount(src, target, "", unix.MS_BIND, "")
		}
		fd, err := CloneReadOnly(src)
		if err != nil {
			return err
		}
		return AttachAt(fd, target)
	})
	if err == nil {
		i.mounts[len(i.mounts)-1].bind = true
	}
	return err
}

// Unbind undoes the latest Bind or mount at path.
func (i *Image) Unbind(path string) error {
	for n := len(i.mounts) - 1; n >= 0; n-- {
		if m := i.mounts[n]; m.path == path {
			i.mounts = append(i.mounts[:n], i.mounts[n+1:]...)
			return i.unmount(m)
		}
	}
	return fmt.Errorf("nothing is mounted at %s in the image", path)
}

func (i *Image) unmount(m mounted) error {
	defer m.at.Close()
	flags := unix.UMOUNT_NOFOLLOW
	if m.bind {
		flags |= unix.MNT_DETACH // together with what is mounted below
	}
	// A process that is about to exit may be in the way for a moment.
	for end := time.Now().Add(busyWait); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(m.at.Path(), flags)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(end):
			return fmt.Errorf("unmount %s in the image: %w", m.path, err)
		}
	}
}

// busyWait is how long a mount may be busy when it is to go.
const busyWait = 3 * time.Second

// Leave unmounts everything that EnterImage and Bind mounted, the last first.
func (i *Image) Leave() error {
	var errs []error
	for n := len(i.mounts) - 1; n >= 0; n-- {
		errs = append(errs, i.unmount(i.mounts[n]))
	}
	i.mounts = nil
	return errors.Join(errs...)
}
