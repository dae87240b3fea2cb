package machine

import (
	"fmt"
	"runtime"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/image"

	"golang.org/x/sys/unix"
)

// Facts is what is known of an image before it is changed. Everything in it was read from the
// image; nothing is assumed from a name.
type Facts struct {
	Distro         *distro.Distro    // the distribution's own facts
	OSRelease      map[string]string // /etc/os-release
	Arch           string            // of the image's programs, as uname -m says it
	Foreign        bool              // the image's programs cannot run on this host
	PackageManager string            // its name; empty where none is known
	Boot           boot.Scheme       // how the boot loader is configured
	Kernels        []boot.Kernel     // installed kernels
	Modules        []string          // versions of kernels that have modules, installed or not
	Initramfs      string            // dracut, initramfs-tools, mkinitrd, or empty
	SELinux        string            // enforcing, permissive, disabled, or empty where there is none
	Filesystems    []Filesystem      // mounted, root first
	SectorSize     int               // of the image's disk, in bytes
	DiskSize       int64             // of the image's disk, in bytes
	Volumes        []disk.Volume     // all partitions, with what they hold
	Sealed         []image.Sealed    // dm-verity devices
	Covered        []string          // mount points of disks that the image gets where it runs
	HostKernel     string            // release of the kernel this runs on
}

// WhyForeign says why programs of the image cannot run. An emulator that is registered on the host is not
// used: the image could change it through /proc/PID/exe.
func (f *Facts) WhyForeign() string {
	return fmt.Sprintf("the image's programs are made for %s and do not run on this host, which is %s", f.Arch, hostArch())
}

func (f *Facts) cannotRun(command string) error {
	return fmt.Errorf("%s cannot be run: %s", command, f.WhyForeign())
}

// hostArch is the host's architecture, as uname -m says it.
func hostArch() string {
	for _, names := range machines {
		if names[1] == runtime.GOARCH {
			return names[0]
		}
	}
	return runtime.GOARCH
}

// Filesystem is one mounted filesystem of the image.
type Filesystem struct {
	MountPoint string // inside the image
	Type       string // ext4, xfs, ...
	Size       uint64 // bytes
	Free       uint64 // bytes root can still write
	UUID       string // as fstab spells it
	Partition  int    // number of the partition it lies on
	Subvolume  string // path of the mounted subvolume of a btrfs, such as /root
	Kept       bool   // sealed by dm-verity and not to be changed
}

// FilesystemOf returns the filesystem that holds an absolute path of the image.
func (f *Facts) FilesystemOf(path string) Filesystem {
	var best Filesystem
	for _, fs := range f.Filesystems {
		if within(path, fs.MountPoint) && len(fs.MountPoint) > len(best.MountPoint) {
			best = fs
		}
	}
	return best
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}

// KernelRelease is the release of the kernel this runs on.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
