package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// need is one thing a feature asks of the host.
type need struct {
	feature string
	what    string
	ok      func() bool
	// optional is what happens without it; empty means that the feature does not work then.
	optional string
	mend     string // one command or sentence
}

// programNeed is a need for a host program.
func programNeed(feature, program, debian string) need {
	return need{
		feature: feature, what: "program " + program, mend: "apt-get install " + debian,
		ok: func() bool { return hostcmd.Installed(program) },
	}
}

// fsNeed is a need for a filesystem of the host's kernel.
func fsNeed(feature, fs, optional string) need {
	return need{
		feature: feature, what: "kernel filesystem " + fs, optional: optional, mend: "modprobe " + fs,
		ok: func() bool { return kernelHas(fs) },
	}
}

// needs lists what the features ask of a host, in the order in which people meet them.
func needs(h abilities) []need {
	capabilities := missingCapabilities(ownConfinement().fields()["CapEff"])
	return []need{
		{feature: "every run", what: "root", ok: func() bool { return os.Geteuid() == 0 }, mend: "run it with sudo"},
		{feature: "every run", what: "Linux 5.8 or newer", ok: func() bool { return kernelAtLeast(5, 8) }, mend: "use a newer kernel"},
		{feature: "every run", what: "capabilities", ok: func() bool { return len(capabilities) == 0 }, mend: "in a container: " + strings.Join(capabilities, " ")},
		{feature: "every run", what: "namespaces and mounts of its own for the worker", ok: func() bool { return h.Worker == "" }, mend: h.Worker + "; " + hostHint()},
		{feature: "every run", what: "loop devices", ok: func() bool { return h.Loop == "" }, mend: h.Loop + "; modprobe loop, or in a container: --device-cgroup-rule 'c 10:237 rmw' --device-cgroup-rule 'b 7:* rmw'"},
		{
			feature: "every run", what: "devices of loop partitions", ok: func() bool { return h.Partitions == "" },
			optional: "each partition then takes a loop device of its own", mend: "in a container: --device-cgroup-rule 'b 259:* rmw'",
		},
		programNeed("every run", "qemu-img", "qemu-utils"),
		programNeed("every run", "mkfs.ext4", "e2fsprogs"),
		programNeed("ext2, ext3, ext4 images", "e2fsck", "e2fsprogs"),
		fsNeed("ext2, ext3, ext4 images", "ext4", ""),
		programNeed("xfs images", "xfs_repair", "xfsprogs"),
		fsNeed("xfs images", "xfs", ""),
		programNeed("btrfs images", "btrfs", "btrfs-progs"),
		fsNeed("btrfs images", "btrfs", ""),
		fsNeed("UEFI images", "vfat", "the EFI system partition is then worked on through mtools"),
		programNeed("UEFI images without kernel vfat", "mcopy", "mtools"),
		programNeed("UEFI images", "fsck.vfat", "dosfstools"),
		programNeed("COSI, baremetal-image and raw-zstd partitions", "zstd", "zstd"),
		programNeed("--rpm-source with a folder", "createrepo_c", "createrepo-c"),
		programNeed("LiveOS media", "mksquashfs", "squashfs-tools"),
		programNeed("LiveOS media", "xorriso", "xorriso"),
		programNeed("LiveOS media", "mcopy", "mtools"),
		programNeed("LiveOS media in erofs", "mkfs.erofs", "erofs-utils"),
		programNeed("initramfs in xz", "xz", "xz-utils"),
		programNeed("initramfs in lz4", "lz4", "lz4"),
	}
}

// Doctor prints, feature by feature, what this host has and lacks. It fails if something is missing
// that has no substitute.
func Doctor(ctx context.Context, w io.Writer) error {
	var missing []string
	feature := ""
	for _, n := range needs(tryWorker(ctx)) {
		if n.feature != feature {
			feature = n.feature
			fmt.Fprintln(w, feature)
		}
		switch {
		case n.ok():
			fmt.Fprintf(w, "  ok       %s\n", n.what)
		case n.optional != "":
			fmt.Fprintf(w, "  without  %s: %s (%s)\n", n.what, n.optional, n.mend)
		default:
			fmt.Fprintf(w, "  MISSING  %s: %s\n", n.what, n.mend)
			missing = append(missing, n.what)
		}
	}
	if len(missing) > 0 {
		return &Failure{Code: ExitHost, Err: fmt.Errorf("this host lacks: %s", strings.Join(missing, ", "))}
	}
	_, err := fmt.Fprintln(w, "\nThis host can do everything.")
	return err
}

// kernelHas tells whether the kernel has the filesystem built in or loaded, or a module for it.
func kernelHas(fs string) bool {
	list, _ := os.ReadFile("/proc/filesystems")
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == fs {
			return true
		}
	}
	release := kernelRelease()
	for _, index := range []string{"modules.dep", "modules.builtin"} {
		data, _ := os.ReadFile("/lib/modules/" + release + "/" + index)
		if strings.Contains(string(data), "/"+fs+".ko") {
			return true
		}
	}
	return false
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func kernelAtLeast(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(kernelRelease(), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
