package boot

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Kernel is one installed kernel.
type Kernel struct {
	Version   string
	Image     string // path of vmlinuz
	Initramfs string // path; empty where there is none
	Modules   string // folder; empty where there is none
}

// Kernels lists the kernels in /boot, but not Fedora's copies for rescue. Where there are none, as with kernels that only
// kernel-install has copied to where systemd-boot reads them, it lists those that lie with their modules.
func Kernels(files Files) ([]Kernel, error) {
	entries, err := files.ReadDir("/boot")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	var kernels []Kernel
	for _, e := range entries {
		version, ok := strings.CutPrefix(e.Name(), "vmlinuz-")
		if !ok || strings.HasPrefix(version, "0-rescue") {
			continue
		}
		k := Kernel{Version: version, Image: "/boot/" + e.Name(), Modules: modules(files, version)}
		for _, n := range []string{"initramfs-" + version + ".img", "initrd.img-" + version, "initrd-" + version} {
			if names[n] && k.Initramfs == "" {
				k.Initramfs = "/boot/" + n
			}
		}
		if kernels = append(kernels, k); len(kernels) > maxKernels {
			return nil, tooMany("kernels in /boot", maxKernels)
		}
	}
	if len(kernels) == 0 {
		return kernelsWithModules(files), nil
	}
	return kernels, nil
}

func kernelsWithModules(files Files) (kernels []Kernel) {
	const dir = "/usr/lib/modules"
	versions, _ := files.ReadDir(dir)
	for _, v := range few(versions, maxKernels) {
		in := path.Join(dir, v.Name())
		if slices.Contains(list(files, in, "vmlinuz"), path.Join(in, "vmlinuz")) {
			kernels = append(kernels, Kernel{Version: v.Name(), Image: path.Join(in, "vmlinuz"), Modules: in})
		}
	}
	return kernels
}

func modules(files Files, version string) string {
	for _, dir := range []string{"/lib/modules/", "/usr/lib/modules/"} {
		if entries, err := files.ReadDir(dir + version); err == nil && len(entries) > 0 {
			return dir + version
		}
	}
	return ""
}

// ModuleVersions are the versions of the kernels whose modules are there.
func ModuleVersions(files Files) (versions []string) {
	for _, dir := range []string{"/lib/modules", "/usr/lib/modules"} {
		entries, _ := files.ReadDir(dir)
		for _, e := range entries {
			if !slices.Contains(versions, e.Name()) {
				versions = append(versions, e.Name())
			}
		}
	}
	return versions
}
