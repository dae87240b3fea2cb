package booting

import (
	"slices"
	"testing"

	"imagecustomizer/internal/boot"
)

// TestWithoutInitramfs has new kernels in images whose other kernels have an initramfs, or have none.
func TestWithoutInitramfs(t *testing.T) {
	t.Parallel()
	kernel := func(version, initramfs string) boot.Kernel {
		return boot.Kernel{Version: version, Initramfs: initramfs, Modules: "/lib/modules/" + version}
	}
	none := kernel("3", "")
	none.Modules = ""
	for name, c := range map[string]struct {
		before, after []boot.Kernel
		want          []string
	}{
		"made by its package":         {[]boot.Kernel{kernel("1", "/i")}, []boot.Kernel{kernel("1", "/i"), kernel("2", "/i2")}, nil},
		"not made":                    {[]boot.Kernel{kernel("1", "/i")}, []boot.Kernel{kernel("1", "/i"), kernel("2", "")}, []string{"2"}},
		"the first is gone":           {[]boot.Kernel{kernel("1", "/i")}, []boot.Kernel{kernel("2", "")}, []string{"2"}},
		"the others have none either": {[]boot.Kernel{kernel("1", "")}, []boot.Kernel{kernel("1", ""), kernel("2", "")}, nil},
		"the first kernel of all":     {nil, []boot.Kernel{kernel("2", "")}, nil},
		"a file that is no kernel":    {[]boot.Kernel{kernel("1", "/i")}, []boot.Kernel{kernel("1", "/i"), none}, nil},
		"an old one lost its own":     {[]boot.Kernel{kernel("1", "/i")}, []boot.Kernel{kernel("1", "")}, nil},
	} {
		if got := (booted{kernels: c.after}).withoutInitramfs(booted{kernels: c.before}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
