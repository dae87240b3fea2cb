package mounts

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
)

const overlayFstab = "UUID=1 / ext4 defaults 0 1\nUUID=2 /var ext4 x-initrd.mount 0 2\nUUID=3 /srv ext4 defaults 0 2\n"

func overlay(o Overlay) AddOverlay {
	o.MountPoint, o.LowerDirs, o.UpperDir, o.WorkDir = "/etc", []OverlayPath{"/etc", "/usr/share/etc"}, "/var/o/upper", "/var/o/work"
	return AddOverlay{Overlay: o}
}

func TestOverlays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Overlay
		want string
	}{
		"at boot": {
			Overlay{MountDependencies: []OverlayPath{"/srv"}, MountOptions: "nodev,noexec"},
			"overlay /etc overlay lowerdir=/etc:/usr/share/etc,upperdir=/var/o/upper,workdir=/var/o/work,x-systemd.requires=/srv,nodev,noexec 0 0\n",
		},
		"in the initramfs": {
			Overlay{IsInitrdOverlay: true, MountDependencies: []OverlayPath{"/var"}},
			"overlay /etc overlay lowerdir=/sysroot/etc:/sysroot/usr/share/etc,upperdir=/sysroot/var/o/upper,workdir=/sysroot/var/o/work," +
				"x-systemd.requires=/sysroot/var,x-initrd.mount,x-systemd.wanted-by=initrd-fs.target 0 0\n",
		},
	} {
		m := featuretest.Tree(t, map[string]string{"etc/fstab": overlayFstab, "etc/dracut.conf.d/x": ""})
		featuretest.MustRun(t, m, overlay(c.o), overlay(c.o)) // the second changes nothing
		if got := featuretest.Read(t, m, feature.Fstab); got != overlayFstab+c.want {
			t.Errorf("%s: %s", name, got)
		}
		if got := featuretest.Read(t, m, feature.DracutDir+"/overlay.conf"); got != "add_drivers+=\" overlay \"\n" {
			t.Errorf("%s: dracut: %q", name, got)
		}
		for _, dir := range []string{"/var/o/upper", "/var/o/work", "/usr/share/etc"} {
			if !m.Root.IsDir(dir) {
				t.Errorf("%s: no folder %s", name, dir)
			}
		}
	}
}

func TestOverlayNeeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o     Overlay
		files map[string]string
		want  string
	}{
		"all there": {Overlay{IsInitrdOverlay: true, MountDependencies: []OverlayPath{"/var"}}, map[string]string{"usr/bin/dracut": "x"}, ""},
		"not in the initramfs": {
			Overlay{IsInitrdOverlay: true, MountDependencies: []OverlayPath{"/srv"}},
			map[string]string{"usr/bin/dracut": "x"},
			"depends on /srv, whose line in /etc/fstab lacks the option x-initrd.mount",
		},
		"not mounted at all": {Overlay{IsInitrdOverlay: true, MountDependencies: []OverlayPath{"/home"}}, map[string]string{"usr/bin/dracut": "x"}, "depends on /home, which /etc/fstab does not mount"},
		"no dracut":          {Overlay{IsInitrdOverlay: true}, nil, "the image has no dracut"},
		"no module": {
			Overlay{}, map[string]string{"boot/vmlinuz-6": "", "lib/modules/6/modules.dep": "kernel/fs/overlayfs/overlays.ko:\n"}, "kernel 6 has no module overlay",
		},
		"the module":   {Overlay{}, map[string]string{"boot/vmlinuz-6": "", "lib/modules/6/modules.dep": "kernel/fs/overlayfs/overlay.ko.xz:\n"}, ""},
		"it is inside": {Overlay{}, map[string]string{"boot/vmlinuz-6": "", "lib/modules/6/modules.builtin": "kernel/fs/overlayfs/overlay.ko\n"}, ""},
	} {
		files := map[string]string{"etc/fstab": overlayFstab}
		for f, text := range c.files {
			files[f] = text
		}
		m := featuretest.Tree(t, files)
		if m.Root.Exists("/usr/bin/dracut") {
			if err := m.Root.Chmod("/usr/bin/dracut", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, p := range overlay(c.o).Check(context.Background(), m) {
			got = append(got, p.Text)
		}
		if all := strings.Join(got, "; "); (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
			t.Errorf("%s: %q", name, all)
		}
	}
}

func TestOverlaysAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"etc/fstab": "UUID=a / ext4 defaults 0 1\nUUID=b /var ext4 defaults 0 2\nUUID=c /data ext4 x-initrd.mount 0 2\n",
		"srv/file":  "", "usr/lib/systemd/system/mnt-x.mount": "",
	})
	check := func(o Overlay) (got []string) {
		for _, p := range (AddOverlay{Overlay: o, Path: "p"}).Check(context.Background(), m) {
			got = append(got, p.Path+": "+p.Text+" "+p.Hint)
		}
		return got
	}
	good := Overlay{MountPoint: "/etc", LowerDirs: []OverlayPath{"/etc"}, UpperDir: "/var/u", WorkDir: "/var/w", MountDependencies: []OverlayPath{"/var", "/mnt/x", "/"}}
	if got := check(good); len(got) > 0 {
		t.Errorf("a good one: %q", got)
	}
	bad := Overlay{MountPoint: "/srv/file", LowerDirs: []OverlayPath{"/etc", "/srv/file/x"}, UpperDir: "/var/u", WorkDir: "/var/w", MountDependencies: []OverlayPath{"/vra", "/none"}}
	if got := check(bad); len(got) != 4 || !strings.Contains(strings.Join(got, "\n"), `did you mean "/var"?`) {
		t.Errorf("four faults: %q", got)
	}
	fstab := "UUID=a / ext4 defaults 0 1\nUUID=n /none ext4 defaults 0 2\n"
	s := AddOverlay{Overlay: Overlay{MountPoint: "/etc", MountDependencies: []OverlayPath{"/none"}}, Files: feature.Supplied{Files: []feature.SuppliedFile{{Content: &fstab, Destination: "/etc/fstab"}}}}
	if got := s.dependencies(m); len(got) > 0 {
		t.Errorf("an fstab of the config: %v", got)
	}
}
