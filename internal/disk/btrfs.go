package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notOnHost fails where this host has mounted a btrfs with the identifier of the one on a device: the kernel
// takes devices with the same identifier for parts of one filesystem. Loop devices may be those of other runs on
// the same base image, which the kernel keeps apart, or refuses.
func notOnHost(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	id := Probe(io.NewSectionReader(f, 0, size)).UUID
	return foreignDevices("/sys/fs/btrfs", id)
}

func foreignDevices(sys, id string) error {
	devices, err := filepath.Glob(filepath.Join(sys, id, "devices", "*"))
	if err != nil || id == "" {
		return err
	}
	for _, d := range devices {
		if name := filepath.Base(d); !strings.HasPrefix(name, "loop") {
			return fmt.Errorf("this host has mounted a btrfs with the same identifier, %s, on %s: the kernel would take one for the other; give the image's another (btrfstune -u), or work on it elsewhere", id, name)
		}
	}
	return nil
}

// forgetDevice is BTRFS_IOC_FORGET_DEV of linux/btrfs.h, and forgotten its argument.
const forgetDevice = 0x50009405

type forgotten struct {
	fd   int64
	name [4088]byte
}

// ForgetBtrfs has the kernel forget the device of an unmounted btrfs, which it remembers so that other devices
// can become parts of the same filesystem.
func ForgetBtrfs(device string) error {
	control, err := os.OpenFile("/dev/btrfs-control", os.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return nil // no btrfs, or no node of it: what was mounted is unmounted anyway
	}
	if err != nil {
		return err
	}
	defer control.Close()
	var arg forgotten
	copy(arg.name[:len(arg.name)-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), forgetDevice, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 && errno != unix.ENOENT && errno != unix.ENOTTY { // not known, or not to this kernel
		slog.Warn("the kernel goes on remembering the btrfs of the image", "device", device, "error", errno)
	}
	return nil
}
