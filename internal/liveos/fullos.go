package liveos

import (
	"context"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
)

// fullOS packs the whole system as an initramfs, for all kernels.
func fullOS(ctx context.Context, m *machine.Machine, list []boot.Kernel, keepKdump bool, out string) error {
	m.Log.Warn("a full-os initramfs holds no extended attributes: programs in it have no file capabilities")
	t := initramfs.Tree{Dir: m.Root.Dir(), Exclude: excluded(m, keepKdump)}
	if _, err := m.Root.Lstat("/init"); err != nil {
		t.Links = map[string]string{"init": systemd(m)}
	}
	format := "zstd"
	for _, k := range list {
		config, _ := m.Root.ReadFile("/boot/config-" + k.Version)
		if !strings.Contains(string(config), "CONFIG_RD_ZSTD=y") {
			format = "gzip"
		}
	}
	return t.WriteImage(ctx, format, out)
}

// systemd is the program that the kernel starts.
func systemd(m *machine.Machine) string {
	for _, p := range []string{"/lib/systemd/systemd", "/usr/lib/systemd/systemd"} {
		if m.Root.Exists(p) {
			return p
		}
	}
	return "/sbin/init"
}
