package vm

import (
	"io"
	"strings"
	"testing"
)

// TestBootsThatStop feeds what the programs print, as seen on consoles, each after lines of a good boot.
func TestBootsThatStop(t *testing.T) {
	t.Parallel()
	const before = "[    1.2] Run /init as init process\r\n[  OK  ] Started \x1b[0;1;39mudev\x1b[0m.\r\nKernel command line: panic=30\r\n"
	for console, want := range map[string]string{
		"debian login: ": "",
		"You are in emergency mode. After logging in, type \"journalctl -xb\"":                          "emergency mode",
		"\r\nCannot open access to console, the root account is locked.\r\n":                            "emergency mode",
		"Gave up waiting for root file system device.\r\nALERT!  UUID=1-2 does not exist.  Dropping to": "initramfs",
		"\r\n\r\n(initramfs) ": "initramfs",
		"\r\nEntering emergency mode. Exit the shell to continue.\r\n": "initramfs",
		"\ndracut:/# ": "initramfs",
		"[    2.0] Kernel panic - not syncing: VFS: Unable to mount root fs": "panicked",
		"\r\ngrub> ":      "GRUB stopped",
		"\ngrub rescue> ": "GRUB stopped",
		"BdsDxe: No bootable option or device was found.\r\n":         "nothing to boot",
		"Booting from Hard Disk...\nBoot failed: not a bootable disk": "nothing to boot",
		"error: bad shim signature\nSecurity Violation\n":             "Secure Boot",
	} {
		c := newSerial(io.Discard, nil)
		_, _ = c.receive([]byte(before + console))
		err := c.WaitLogin(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", console, err, want)
		}
	}
}
