//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCoveredPlaces: what would lie below a disk that the image gets where it runs is refused, by a link and as a
// user's keys too, and a partition that fstab mounts twice is mounted twice.
func TestCoveredPlaces(t *testing.T) {
	t.Parallel()
	prepared := filepath.Join(t.TempDir(), "prepared.raw")
	customize(t, base(t, "debian12-efi"), `scripts: {postCustomization: [{content: "set -e; mkdir /data /twice; ln -s ../data /srv/x; r=$(awk '$2 == \"/\" {print $1}' /etc/fstab); `+
		`printf '/dev/sdb1 /data ext4 nofail 0 0\n/dev/sdc1 /home ext4 nofail 0 0\n%s /twice ext4 defaults 0 0\n' $r >> /etc/fstab"}]}`+"\n", prepared, "raw")
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	dir := t.TempDir()
	plan := func(config string) (int, string) {
		return run(t, "--build-dir", dir, "--image-file", prepared, "--config-file", writeConfig(t, config), "--dry-run")
	}
	for config, want := range map[string]string{
		"os: {additionalFiles: [{destination: /srv/x/f, content: x}]}\n": "mounts a disk that it gets where it runs (/data)",
		"os: {additionalFiles: [{destination: /data/f, content: x}]}\n":  "mounts a disk that it gets where it runs",
		"os: {users: [{name: zoe, sshPublicKeys: ['" + key + "']}]}\n":   "the keys of zoe would lie in /home/zoe",
	} {
		if status, out := plan(config); status != 3 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want %q\n%s", config, status, want, out)
		}
	}
	if status, out := plan("os: {hostname: x}\n"); status != 0 {
		t.Errorf("exit %d\n%s", status, out)
	}
}
