package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// hidden are the paths in /proc that can act on the host's kernel, or tell of it, even for a process that lacks
// capabilities. The list is that of the OCI runtime specification, with what shows the kernel's memory, and what
// programs would put into an image of the machine that it is made on: its kernel's arguments and its swap.
var hidden = []string{
	"acpi", "asound", "cmdline", "interrupts", "kallsyms", "kcore", "keys", "kmsg", "kpagecgroup", "kpagecount",
	"kpageflags", "latency_stats", "pagetypeinfo", "sched_debug", "scsi", "slabinfo", "swaps", "sysrq-trigger",
	"timer_list", "timer_stats", "vmallocinfo",
}

// ofTheMachine are paths in /proc that tell of the host's disks, hardware and modules. Programs of an image would take
// them for those of the machine that the image is for.
var ofTheMachine = []string{
	"bus", "diskstats", "dma", "driver", "fb", "iomem", "ioports", "mdstat", "modules", "mtrr", "partitions",
}

// procOf is the folder /proc of an image, which must not be a link.
func procOf(root string) (string, error) {
	proc := filepath.Join(root, "proc")
	if fi, err := os.Lstat(proc); err != nil || !fi.IsDir() {
		return "", fmt.Errorf("the image has no folder /proc to mount on: %w", err)
	}
	return proc, nil
}

// mountProc mounts the /proc of this process's PID namespace below root, has it prepared, and covers what does
// not belong to a process: the dangerous is hidden, and all else can be read only.
func mountProc(root string, prepare func(proc string) error) error {
	proc := filepath.Join(root, "proc")
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc in the image: %w", err)
	}
	if err := prepare(proc); err != nil {
		return err
	}
	if err := hide(proc, slices.Concat(hidden, ofTheMachine)); err != nil {
		return err
	}
	return protectProc(proc)
}

// hide covers paths below a folder, where they exist.
func hide(dir string, paths []string) error {
	for _, p := range paths {
		path := filepath.Join(dir, p)
		fi, err := os.Lstat(path)
		switch {
		case err != nil:
			continue
		case fi.IsDir():
			err = unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "size=0")
		default:
			err = unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
			if err == nil { // or its mode and owner could be changed, for the worker too
				err = unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC, "")
			}
		}
		if err != nil {
			return fmt.Errorf("hide %s from the image: %w", path, err)
		}
	}
	return nil
}

// protectProc makes read-only what belongs to no process and could be written.
func protectProc(proc string) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, notProcess := strconv.Atoi(e.Name())
		fi, err := e.Info()
		if err != nil || notProcess == nil || fi.Mode()&os.ModeType&^os.ModeDir != 0 || !fi.IsDir() && fi.Mode()&0o222 == 0 {
			continue // a process, gone, a link, a device that hides something, or never written
		}
		path := filepath.Join(proc, e.Name())
		fd, err := CloneReadOnly(path)
		if err == nil {
			err = AttachAt(fd, path)
		}
		if err != nil {
			return fmt.Errorf("make %s read-only in the image: %w", path, err)
		}
	}
	return nil
}
