package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// TooMuch tells whether a folder of the host holds more than belongs to a config that lies in it.
func TooMuch(dir string) bool {
	return dir == "/" || slices.Contains(privateFolders, strings.TrimPrefix(filepath.Clean(dir), "/"))
}

// BindFiles shows what lies in a folder of the worker at an existing folder of the image, read-only. Sockets and
// pipes in there lead nowhere: they are those of an overlay, and whoever listens at the host's never hears
// of it. Of a folder that holds too much only the named files and folders are shown.
func (i *Image) BindFiles(dir string, named []string, path string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if TooMuch(dir) {
		return i.bindNamed(dir, named, path)
	}
	at, err := i.root.MountPoint(path)
	if err != nil {
		return err
	}
	if err := i.overlay(dir, path); err != nil {
		if slices.ContainsFunc(covered, func(c string) bool { return strings.HasPrefix(c, dir+"/") }) {
			return errors.Join(fmt.Errorf("keep the keys in %s from scripts, which needs overlay mounts: %w", dir, err), at.Close())
		}
		slog.Warn("this kernel mounts no overlay of the config file's folder: sockets and pipes in it can be reached by scripts", "error", err)
		return errors.Join(at.Close(), i.Bind(dir, path, true))
	}
	i.mounts = append(i.mounts, mounted{path, at, true})
	for _, sub := range mountsBelow(dir) {
		if err := i.overlay(filepath.Join(dir, sub), filepath.Join(path, sub)); err != nil {
			return err
		}
	}
	return nil
}

// overlay mounts a read-only overlay of a folder, which takes two lower ones: the other is empty.
func (i *Image) overlay(dir, path string) error {
	lower, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer lower.Close()
	empty := filepath.Join(Work, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return err
	}
	p, err := i.root.OpenPath(path)
	if err != nil {
		return err
	}
	defer p.Close()
	without, err := whiteouts(dir)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=/proc/self/fd/%d:%s", lower.Fd(), empty) // no name of the host's to be escaped
	if without != "" {
		options = fmt.Sprintf("lowerdir=%s:/proc/self/fd/%d", without, lower.Fd())
	}
	const flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID
	return unix.Mount("config", fmt.Sprintf("/proc/self/fd/%d", p.Fd()), "overlay", flags, options)
}

// mountsBelow lists the mount points below a folder, parents first, as paths in it.
func mountsBelow(dir string) (list []string) {
	_, _ = mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		fi, err := os.Lstat(m.Mountpoint)
		if rel, below := strings.CutPrefix(m.Mountpoint, dir+"/"); below && err == nil && fi.IsDir() {
			list = append(list, rel)
		}
		return true, false
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// bindNamed shows the files and folders that have these names and lie in dir, in an otherwise empty folder.
func (i *Image) bindNamed(dir string, named []string, path string) error {
	if err := i.mount(path, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=755,size=1m"); err != nil {
		return err
	}
	i.mounts[len(i.mounts)-1].bind = true
	for _, name := range named {
		rel, err := filepath.Rel(dir, name)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if err := i.bindOne(name, filepath.Join(path, rel)); err != nil {
			return fmt.Errorf("show %s to the image: %w", name, err)
		}
	}
	return i.remount(path, unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID)
}

func (i *Image) bindOne(src, path string) error {
	fi, err := os.Stat(src)
	switch {
	case errors.Is(err, os.ErrNotExist): // the step that needs it says so
		return nil
	case err != nil:
		return err
	case fi.IsDir():
		if err := i.root.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return i.overlay(src, path)
	case !fi.Mode().IsRegular():
		return nil
	}
	if err := i.root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := i.root.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	fd, err := CloneReadOnly(src)
	if err != nil {
		return err
	}
	p, err := i.root.OpenPath(path)
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	defer p.Close()
	return AttachAt(fd, fmt.Sprintf("/proc/self/fd/%d", p.Fd()))
}
