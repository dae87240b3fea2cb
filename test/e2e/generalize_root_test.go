//go:build root

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneralize plants traces in a real image, by hand and in the last script, and looks for them on the result's disk.
func TestGeneralize(t *testing.T) {
	dir := t.TempDir()
	image, out := filepath.Join(dir, "base.raw"), filepath.Join(dir, "out.raw")
	sh(t, dir, "cp --sparse=always "+base(t, "debian12-efi")+" base.raw; echo trace >trace")
	disk := fmt.Sprintf("%s?offset=%d", image, rootOffset(t, image))
	for _, f := range []string{"/tmp/hidden", "/var/tmp/trace", "/var/log/kept.log", "/var/log/trace.log", "/var/log/trace.log.1.gz"} {
		if text, err := exec.Command("debugfs", "-w", "-R", "write "+filepath.Join(dir, "trace")+" "+f, disk).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	customize(t, image, `
os:
  services: {disable: [fstrim.timer]}
  firstBoot:
  - {name: one, content: "true\n", before: ssh, network: true, onFailure: emergency}
  - {name: two, content: "true\n", timeout: 60, onFailure: poweroff, after: systemd-networkd}
  generalize: {level: golden, strict: true, keep: [/var/log/kept.log]}
scripts:
  finalizeCustomization:
  - content: |
      echo 0123456789abcdef0123456789abcdef >/etc/machine-id
      for f in /root/.bash_history /var/lib/systemd/random-seed /var/lib/cloud/instances/i-1/sem /boot/efi/loader/random-seed /etc/shadow-; do
        mkdir -p ${f%/*}; echo trace >$f
      done
      set -e
      test -e /etc/ssh/ssh_host_ed25519_key
      systemd-analyze --version >/dev/null
      if systemd-analyze verify --man=no /etc/systemd/system/first-boot-*.service 2>&1 | grep first-boot; then exit 1; fi
      sed -i /^Also=systemd-networkd-wait-online/d /lib/systemd/system/systemd-networkd.service
`, out, "raw")
	for _, f := range []string{
		"/tmp/hidden", "/var/tmp/trace", "/var/log/trace.log.1.gz", "/root/.bash_history", "/var/lib/systemd/random-seed", "/var/lib/cloud/instances/i-1", "/etc/shadow-",
		"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_rsa_key", "/run/imagecustomizer-generalize",
	} {
		if exists(t, out, f) {
			t.Errorf("%s is left", f)
		}
	}
	for f, want := range map[string]string{"/etc/machine-id": "uninitialized\n", "/var/log/trace.log": "", "/var/log/kept.log": "trace\n"} {
		if got := readFile(t, out, f); got != want || !exists(t, out, f) {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
	presets := readFile(t, out, "/etc/systemd/system-preset/0-generalize.preset")
	for _, want := range []string{"\nenable getty@.service tty1\n", "\ndisable fstrim.timer\n", "\nenable ssh.service\n"} {
		if !strings.Contains(presets, want) {
			t.Errorf("the presets lack %q:\n%s", want, presets)
		}
	}
	if status, got := run(t, "inspect", "--identity", "--format", "json", "--quiet", out); status != 0 || strings.Contains(got, `"shared": true`) || !strings.Contains(got, `"/var/log/kept.log"`) {
		t.Errorf("the identity of what was generalized, %d: %s", status, got)
	}
	if status, got := run(t, "inspect", "--identity", "--quiet", image); status != 0 || !strings.Contains(got, "Clones would share:\n  ssh-host-keys  minimal") {
		t.Errorf("the identity of the base, %d: %s", status, got)
	}
	if got := sh(t, dir, "mdir -b -i out.raw@@1M ::/loader 2>&1 || true"); strings.Contains(got, "random-seed") {
		t.Errorf("the boot loader's seed is left: %s", got)
	}
}
