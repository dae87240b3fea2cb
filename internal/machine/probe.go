package machine

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
)

// Probe reads the facts of the image mounted at root. mounts are its mount points, root first, with
// their filesystem types; manager is the name of its package manager.
func Probe(root *rootfs.Root, mounts []Filesystem, manager string) (*Facts, error) {
	f := &Facts{Filesystems: mounts, PackageManager: manager}
	text, err := root.ReadFile("/etc/os-release")
	if err != nil {
		if text, err = root.ReadFile("/usr/lib/os-release"); err != nil {
			return nil, fmt.Errorf("the image does not say which distribution it is: %w", err)
		}
	}
	f.OSRelease = distro.ParseOSRelease(string(text))
	f.Distro = distro.Match(f.OSRelease)
	m := &Machine{Root: root}
	if f.Arch, f.Foreign, err = arch(root); err != nil {
		return nil, err
	}
	f.Initramfs = m.firstProgram(map[string]string{"mkinitrd": "mkinitrd", "dracut": "dracut", "update-initramfs": "initramfs-tools"}, "update-initramfs", "mkinitrd", "dracut")
	if f.Boot, err = boot.Detect(root); err != nil {
		return nil, err
	}
	if f.Kernels, err = boot.Kernels(root); err != nil {
		return nil, err
	}
	f.Modules = boot.ModuleVersions(root)
	if f.Distro.GRUB == nil { // the release is a hint only: what is in the image counts
		f.Distro.GRUB = distro.ProbeGRUB(f.OSRelease, root.Exists, vendors(root))
	}
	f.SELinux, err = selinuxMode(root, f.Boot)
	return f, err
}

// vendors is the folder that is built into the image's signed GRUB, or else those on its EFI system partition.
func vendors(root *rootfs.Root) (names []string) {
	for _, file := range []string{"/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "/usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"} {
		data, err := root.ReadFile(file)
		if err != nil {
			continue
		}
		if p, err := efi.Read(bytes.NewReader(data)); err == nil && p.GRUB != nil && p.GRUB.Prefix != "" {
			return []string{path.Base(p.GRUB.Prefix)}
		}
	}
	entries, _ := root.ReadDir("/boot/efi/EFI")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (m *Machine) firstProgram(names map[string]string, order ...string) string {
	for _, p := range order {
		if m.Has(p) {
			return names[p]
		}
	}
	return ""
}

// machines maps ELF machine types to what uname -m calls them and to Go's name.
var machines = map[elf.Machine][2]string{
	elf.EM_X86_64:  {"x86_64", "amd64"},
	elf.EM_AARCH64: {"aarch64", "arm64"},
	elf.EM_RISCV:   {"riscv64", "riscv64"},
	elf.EM_386:     {"i686", "386"},
	elf.EM_ARM:     {"armv7l", "arm"},
}

// arch reads the architecture off the image's shell, and whether its programs are foreign to this host.
func arch(root *rootfs.Root) (name string, foreign bool, err error) {
	var last error
	for _, p := range []string{"/bin/sh", "/usr/bin/env", "/sbin/init"} {
		data, err := root.ReadAs(rootfs.Program, p)
		if err != nil {
			last = err
			continue
		}
		x, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			last = fmt.Errorf("%s: %w", path.Base(p), err)
			continue
		}
		names := machines[x.Machine]
		return cmp.Or(names[0], x.Machine.String()), names[1] != runtime.GOARCH, nil
	}
	return "", false, fmt.Errorf("the image has no shell to tell its architecture by: %w", last)
}

// selinuxMode is the mode the image will boot in. Kernel arguments win over the config file.
func selinuxMode(root *rootfs.Root, scheme boot.Scheme) (string, error) {
	conf, err := root.ReadFile("/etc/selinux/config")
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	mode := distro.ParseOSRelease(string(conf))["SELINUX"]
	args, err := boot.Args(root, scheme)
	if err != nil {
		return mode, nil // an image without a readable boot configuration has its own error later
	}
	for _, a := range args {
		switch {
		case a == "selinux=0":
			mode = "disabled"
		case a == "enforcing=1" && mode != "disabled":
			mode = "enforcing"
		}
	}
	return strings.ToLower(mode), nil
}
