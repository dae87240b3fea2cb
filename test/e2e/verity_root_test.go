//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestSealing seals an image, customizes it twice more, leaving the sealed filesystems alone and then
// sealing them anew, and has veritysetup judge each result.
func TestSealing(t *testing.T) {
	t.Parallel()
	sealed := seal(t, "restart", "")
	first := verifySealed(t, sealed)
	flipped := copyFile(t, sealed)
	flip(t, flipped, "root", 5<<20)
	if same(t, sealed, flipped, "root") {
		t.Fatal("the comparison finds nothing")
	}
	fstab := catFrom(t, sealed, "root", "/etc/fstab")
	for _, want := range []string{
		"/dev/mapper/root / ext4 ro,errors=remount-ro 0 0\n", "/dev/mapper/usr /usr ext4 ro 0 0\n",
		"overlay /etc overlay lowerdir=/sysroot/etc,upperdir=/sysroot/var/overlays/etc/upper,workdir=/sysroot/var/overlays/etc/work,x-systemd.requires=/sysroot/var,x-initrd.mount,x-systemd.wanted-by=initrd-fs.target 0 0\n",
	} {
		if !strings.Contains(fstab, want) {
			t.Errorf("fstab lacks %q:\n%s", want, fstab)
		}
	}

	kept := filepath.Join(t.TempDir(), "kept.raw")
	customize(t, sealed, "os:\n  additionalFiles: [{content: new, destination: /var/new}]\n", kept, "raw")
	for _, name := range []string{"root", "root-hash", "usr", "usr-hash", "boot"} {
		if name != "boot" && !same(t, sealed, kept, name) {
			t.Errorf("partition %s changed, which was to stay sealed", name)
		}
	}
	if got := catFrom(t, kept, "var", "/new"); got != "new" {
		t.Errorf("/var/new: %q", got)
	}
	verifySealed(t, kept)

	again := filepath.Join(t.TempDir(), "again.raw")
	customize(t, kept, "storage: {reinitializeVerity: all}\nos:\n  kernelCommandLine: {extraCommandLine: [again=1]}\n  additionalFiles: [{content: new, destination: /usr/new}]\n", again, "raw")
	second := verifySealed(t, again)
	if second["usr"] == first["usr"] || second["root"] == first["root"] {
		t.Errorf("changed filesystems have the old hashes: %v", second)
	}
	config := catFrom(t, again, "boot", "/grub/grub.cfg")
	for _, l := range linuxLines.FindAllString(config, -1) {
		for _, want := range []string{" root=/dev/mapper/root ", " systemd.verity_root_options=restart-on-corruption", " again=1"} {
			if strings.Count(l+" ", want) != 1 {
				t.Errorf("%q is not once in %s", want, l)
			}
		}
	}
}

// TestSealingIsRefused gives plans that cannot be carried out.
func TestSealingIsRefused(t *testing.T) {
	t.Parallel()
	device := func(name, data, hash string) string {
		return "storage:\n  verity:\n  - {id: v, name: " + name + ", dataDevice: {idType: part-label, id: " + data + "}, hashDevice: {idType: part-label, id: " + hash + "}}\n"
	}
	sealed := seal(t, "panic", "")
	for name, c := range map[string]struct{ image, config, want string }{
		"no separate /boot":          {base(t, "debian12-efi"), device("root", "root", "vfat"), "the image has no separate /boot"},
		"the tree over a filesystem": {base(t, "debian12-seal"), device("root", "root", "usr"), "config.yaml:3:69: error: partition 5 is mounted"},
		"not what is mounted":        {base(t, "debian12-seal"), device("root", "usr", "usr-hash"), "partition 5 is not mounted at /, where a verity device called root belongs"},
		"no such partition":          {base(t, "debian12-seal"), device("root", "root", "nowhere"), "no partition of the image is PARTLABEL=nowhere"},
		"initramfs-tools":            {base(t, "debian12-bios"), device("root", "root", "none"), "which dracut must make"},
		"sealed already":             {sealed, device("root", "root", "root-hash"), "the base image seals / already"},
		"a sealed root is written":   {sealed, "os: {hostname: new}\n", "reinitializeVerity"},
	} {
		status, text := run(t, "--dry-run", "--build-dir", t.TempDir(), "--image-file", c.image, "--config-file", writeConfig(t, c.config))
		if status != 3 || !strings.Contains(text, c.want) {
			t.Errorf("%s: exit %d\n%s", name, status, text)
		}
	}
}
