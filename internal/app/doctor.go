package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/vm"
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

// optionalNeed is a need that a run can do without.
func optionalNeed(feature, what, without, mend string, ok func() bool) need {
	return need{feature: feature, what: what, ok: ok, optional: without, mend: mend}
}

// fsNeed is a need for a filesystem of the host's kernel.
func fsNeed(feature, fs, optional string) need {
	return need{
		feature: feature, what: "kernel filesystem " + fs, optional: optional, mend: "modprobe " + fs,
		ok: func() bool { return kernelHas(fs) },
	}
}

// bootFeature is the one feature that the container image, which has no QEMU, goes without.
const bootFeature = "the boot command"

// needs lists what the features ask of a host, in the order in which people meet them.
func needs(ctx context.Context, h job.Abilities) []need {
	capabilities := missingCapabilities(ownConfinement().fields()["CapEff"])
	return []need{
		{feature: "every run", what: "root", ok: func() bool { return os.Geteuid() == 0 }, mend: "run it with sudo"},
		{feature: "every run", what: "Linux 5.12 or newer", ok: func() bool { return kernelAtLeast(5, 12) }, mend: "use a newer kernel"},
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
		programNeed("UEFI images", "fsck.vfat", "dosfstools"),
		programNeed("UEFI images without kernel vfat", "mcopy", "mtools"),
		programNeed("COSI, baremetal-image and raw-zstd partitions", "zstd", "zstd"),
		programNeed("--rpm-source with a folder", "createrepo_c", "createrepo-c"),
		programNeed("LiveOS media", "mksquashfs", "squashfs-tools"),
		programNeed("LiveOS media", "xorriso", "xorriso"),
		programNeed("LiveOS media", "mcopy", "mtools"),
		programNeed("LiveOS media in erofs", "mkfs.erofs", "erofs-utils"),
		programNeed("initramfs in xz", "xz", "xz-utils"),
		programNeed("initramfs in lz4", "lz4", "lz4"),
		optionalNeed(bootFeature, "program qemu-system-x86_64", "images cannot be booted here", "apt-get install qemu-system-x86",
			func() bool { return hostcmd.Installed("qemu-system-x86_64") }),
		optionalNeed(bootFeature, "UEFI firmware for guests (OVMF)", "only images for BIOS can be booted here", "apt-get install ovmf", vm.HasUEFI),
		optionalNeed(bootFeature, "KVM", "guests are emulated, and take several times longer", "use a host that offers /dev/kvm",
			func() bool { return vm.HasKVM(ctx) }),
	}
}

// state is how a need is met.
type state string

// The states of a need.
const (
	met        state = "ok"
	substitute state = "without" // what happens without it is said
	missing    state = "missing"
)

// found is a need and how this host meets it: one line of --json.
type found struct {
	Feature string `json:"feature"`
	What    string `json:"what"`
	State   state  `json:"state"`
	Without string `json:"without,omitempty"` // what happens without it
	Mend    string `json:"mend,omitempty"`    // one command or sentence
}

func (n need) find() found {
	f := found{Feature: n.feature, What: n.what, State: missing, Without: n.optional, Mend: n.mend}
	switch {
	case n.ok():
		f.State, f.Without, f.Mend = met, "", ""
	case n.optional != "":
		f.State = substitute
	}
	return f
}

// Doctor prints, feature by feature, what this host has and lacks. It fails if something is missing
// that has no substitute.
func Doctor(ctx context.Context, asJSON bool, w io.Writer) error {
	var lacking []string
	feature, said := "", map[string]bool{}
	for _, n := range needs(ctx, tryWorker(ctx)) {
		f := n.find()
		if f.State == missing && !said[f.What] {
			lacking = append(lacking, f.What)
		}
		if asJSON {
			if err := json.NewEncoder(w).Encode(f); err != nil {
				return err
			}
		} else {
			if f.Feature != feature {
				feature = f.Feature
				fmt.Fprintln(w, feature)
			}
			f.print(w, said[f.What])
		}
		said[f.What] = true
	}
	if len(lacking) > 0 {
		return &failure.Failure{Code: failure.Host, Err: fmt.Errorf("this host lacks: %s", strings.Join(lacking, ", "))}
	}
	if asJSON {
		return nil
	}
	_, err := fmt.Fprintln(w, "\nThis host can do everything.")
	return err
}

// print writes a line for people. What mends a need that was told of before is not said again.
func (f found) print(w io.Writer, told bool) {
	switch {
	case f.State == met:
		fmt.Fprintf(w, "  ok       %s\n", f.What)
	case f.State == substitute:
		fmt.Fprintf(w, "  without  %s: %s (%s)\n", f.What, f.Without, f.Mend)
	case told:
		fmt.Fprintf(w, "  MISSING  %s (see above)\n", f.What)
	default:
		fmt.Fprintf(w, "  MISSING  %s: %s\n", f.What, f.Mend)
	}
}

// kernelHas tells whether the kernel has the filesystem built in or loaded, or a module for it.
func kernelHas(fs string) bool {
	list, _ := os.ReadFile("/proc/filesystems")
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == fs {
			return true
		}
	}
	release := machine.KernelRelease()
	for _, index := range []string{"modules.dep", "modules.builtin"} {
		data, _ := os.ReadFile("/lib/modules/" + release + "/" + index)
		if strings.Contains(string(data), "/"+fs+".ko") {
			return true
		}
	}
	return false
}

func kernelAtLeast(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(machine.KernelRelease(), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
