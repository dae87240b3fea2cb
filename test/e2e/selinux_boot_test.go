//go:build boot

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"imagecustomizer/internal/vm"
)

// TestSELinuxBoots installs a policy into an image without SELinux, and finds every file labelled at
// the first boot.
func TestSELinuxBoots(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Log("SELinux is booted with FULL=1")
		return
	}
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.raw")
	customize(t, base(t, "debian12-seal"), `
os:
  packages: {install: [selinux-basics, selinux-policy-default]}
  selinux: {mode: permissive}
  additionalFiles: [{content: hello, destination: /etc/e2e/hello}]
`, out, "raw")
	boot(t, out, "raw", []probe{
		{"getenforce", "Permissive"},
		{"tr ' ' '\\n' < /proc/cmdline | grep -c -x -e security=selinux -e selinux=1", "2"},
		{"for d in / /boot /usr /var; do find $d -xdev -context '*:unlabeled_t:*'; done | wc -l", "0"},
		{"stat -c '%C' /etc/shadow /usr/sbin/sshd /etc/e2e/hello /usr/lib/systemd/systemd", "system_u:object_r:shadow_t:s0\nsystem_u:object_r:sshd_exec_t:s0\nsystem_u:object_r:etc_t:s0\nsystem_u:object_r:init_exec_t:s0"},
		{"ls -A / | grep autorelabel | wc -l", "0"},
		{"cat /proc/1/attr/current | tr -d '\\0'", "system_u:system_r:init_t:s0"},
	})
}

// TestSELinuxISO boots a system with a policy from a medium, whose files have their labels.
func TestSELinuxISO(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian12-live"), `
os:
  packages: {install: [selinux-basics, selinux-policy-default]}
  selinux: {mode: permissive}
iso:
  kernelCommandLine: {extraCommandLine: [`+starved+`]}
`)
	bootLive(t, vm.Options{Image: medium, Firmware: vm.BIOS, Drive: vm.CD}, []probe{
		{"getenforce; findmnt -no FSTYPE /", "Permissive\noverlay"},
		{"tr ' ' '\\n' < /proc/cmdline | grep -c -x -e security=selinux -e selinux=1", "2"},
		{"stat -c '%C' /etc/shadow /usr/sbin/sshd /usr/lib/systemd/systemd", "system_u:object_r:shadow_t:s0\nsystem_u:object_r:sshd_exec_t:s0\nsystem_u:object_r:init_exec_t:s0"},
		{"cat /proc/1/attr/current | tr -d '\\0'", "system_u:system_r:init_t:s0"},
	})
}
