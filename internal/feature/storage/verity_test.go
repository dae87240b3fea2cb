package storage

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

// equipped is what an image needs for verity.
var equipped = map[string]string{
	"usr/bin/dracut": "x", "usr/sbin/dmsetup": "x", "usr/lib/systemd/systemd-veritysetup": "hash-offset",
	"usr/lib/dracut/modules.d/01systemd-veritysetup/module-setup.sh": "", "boot/vmlinuz-6": "", "lib/modules/6/modules.dep": "kernel/drivers/md/dm-verity.ko:\n",
	"etc/fstab": "UUID=1 / ext4 rw,errors=remount-ro 0 1\n# kept\nUUID=2 /boot ext4 defaults 0 2\n", "etc/default/grub": "GRUB_TIMEOUT=0\n", "etc/dracut.conf.d/x": "",
}

func machineWith(t *testing.T, without string) *machine.Machine {
	t.Helper()
	files := map[string]string{}
	for name, text := range equipped {
		if without == "" || !strings.Contains(name, without) {
			files[name] = text
		}
	}
	m := featuretest.Tree(t, files)
	for _, p := range []string{"/usr/bin/dracut", "/usr/sbin/dmsetup"} {
		if m.Root.Exists(p) {
			if err := m.Root.Chmod(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func TestVerityNeeds(t *testing.T) {
	t.Parallel()
	s := PrepareVerity{New: []PreparedDevice{{Name: "root", Mount: "/"}}}
	for without, want := range map[string]string{
		"":                            "",
		"bin/dracut":                  "the image has no dracut",
		"dmsetup":                     "the image has no dmsetup",
		"systemd/systemd-veritysetup": "the image has no /usr/lib/systemd/systemd-veritysetup",
		"modules.d":                   "the image's dracut has no module systemd-veritysetup",
		"modules.dep":                 "kernel 6 has no module dm-verity",
	} {
		m := machineWith(t, without)
		m.Facts.PackageManager = "tdnf"
		var got []string
		for _, p := range s.Check(context.Background(), m) {
			got = append(got, p.Text+": "+p.Hint)
		}
		if all := strings.Join(got, "; "); (want == "") != (all == "") || !strings.Contains(all, want) || want != "" && !strings.Contains(all, "install") {
			t.Errorf("without %q: %q", without, all)
		}
		if err := s.Run(context.Background(), m); (err == nil) != (want == "") {
			t.Errorf("without %q, run: %v", without, err)
		}
	}
}

func TestVerityPreparation(t *testing.T) {
	t.Parallel()
	m := machineWith(t, "")
	s := PrepareVerity{New: []PreparedDevice{{Name: "root", Mount: "/", Signed: true}}}
	featuretest.MustRun(t, m, s, s) // the second changes nothing
	for name, want := range map[string]string{
		"/etc/fstab":        "/dev/mapper/root / ext4 ro,errors=remount-ro 0 0\n# kept\nUUID=2 /boot ext4 defaults 0 2\n",
		"/etc/default/grub": "GRUB_TIMEOUT=0\nGRUB_DEVICE=/dev/mapper/root\nGRUB_DISABLE_LINUX_UUID=true\nGRUB_DISABLE_LINUX_PARTUUID=true\n",
		feature.DracutDir + "/systemd-veritysetup.conf": "add_dracutmodules+=\" systemd-veritysetup \"\nadd_drivers+=\" dm-verity \"\n",
		feature.DracutDir + "/mountbootpartition.conf":  "add_dracutmodules+=\" mountbootpartition \"\n",
	} {
		if got := featuretest.Read(t, m, name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if fi, err := m.Root.Stat("/usr/lib/dracut/modules.d/90mountbootpartition" + "/module-setup.sh"); err != nil || fi.Mode().Perm() != 0o755 {
		t.Error(fi, err)
	}
}
