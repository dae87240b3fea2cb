package boot

import (
	"errors"
	"io/fs"
	"strings"
)

// Kernel is one installed kernel.
type Kernel struct {
	Version   string
	Image     string // path of vmlinuz
	Initramfs string // path; empty where there is none
	Modules   string // folder; empty where there is none
}

// Kernels lists the kernels in /boot, but not Fedora's copies for rescue.
func Kernels(files Files) ([]Kernel, error) {
	entries, err := files.ReadDir("/boot")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
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
		kernels = append(kernels, k)
	}
	return kernels, nil
}

func modules(files Files, version string) string {
	for _, dir := range []string{"/lib/modules/", "/usr/lib/modules/"} {
		if entries, err := files.ReadDir(dir + version); err == nil && len(entries) > 0 {
			return dir + version
		}
	}
	return ""
}
