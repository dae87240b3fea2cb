package initramfs

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

const (
	virtio  = "usr/lib/modules/6.1/kernel/drivers/block/virtio_blk.ko"
	storvsc = "usr/lib/modules/6.1/kernel/drivers/scsi/hv_storvsc.ko.xz"
	netvsc  = "lib/modules/6.1/kernel/drivers/net/hyperv/hv-netvsc.ko"
	floppy  = "lib/modules/6.1/kernel/drivers/block/floppy.ko"
	btrfs   = "usr/lib/modules/6.1/kernel/fs/btrfs/btrfs.ko"
	image61 = "/boot/initrd.img-6.1"
)

// members makes an archive of empty members.
func members(names ...string) string {
	pairs := []string{}
	for _, n := range append(names, "conf/initramfs.conf") {
		pairs = append(pairs, n, "")
	}
	return archive(pairs...)
}

// guarded is an image with two drivers and more in an initramfs, each of which a kernel has as a file.
func guarded(t *testing.T, more map[string]string) *machine.Machine {
	t.Helper()
	files := map[string]string{
		image61: members(virtio, storvsc, netvsc, floppy, btrfs),
		"/lib/modules/6.1/modules.dep": "kernel/drivers/block/virtio_blk.ko:\nkernel/drivers/scsi/hv_storvsc.ko.xz:\n" +
			"kernel/drivers/net/hyperv/hv-netvsc.ko:\nkernel/drivers/block/floppy.ko:\nkernel/fs/btrfs/btrfs.ko:\n",
		"/usr/sbin/update-initramfs":                    "#!/bin/sh\n",
		"/etc/initramfs-tools/initramfs.conf":           "MODULES=most\n",
		"/etc/initramfs-tools/conf.d/driver-policy":     "# from the installer\nMODULES=dep\n",
		"/etc/initramfs-tools/update-initramfs.conf":    "update_initramfs=no\n",
		"/usr/sbin/dracut":                              "#!/bin/sh\n",
		"/etc/dracut.conf.d/zzzz-last.conf":             "hostonly='yes'\n",
		"/usr/share/initramfs-tools/hooks/thermal-hook": "",
	}
	for name, text := range more {
		files[name] = text
	}
	dir, early := t.TempDir(), time.Now().Add(-time.Hour)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(dir+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir+name, early, early); err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	scratch := t.TempDir()
	return &machine.Machine{
		Root: root, Log: slog.New(slog.DiscardHandler), Facts: &machine.Facts{Boot: boot.Scheme{Config: "/boot/grub/grub.cfg"}},
		Scratch: func() (string, error) { return scratch, nil },
	}
}

// TestGuard has builders that leave drivers out, that do nothing, and that have good reasons for both.
func TestGuard(t *testing.T) {
	t.Parallel()
	build := func(name string, drivers ...string) map[string]string {
		return map[string]string{name: members(drivers...)}
	}
	for name, c := range map[string]struct {
		more, made map[string]string
		all        bool
		want       string // of the error
	}{
		"nothing is made":                 {nil, nil, false, ""},
		"everything stays":                {nil, build(image61, virtio, storvsc, netvsc, floppy, btrfs), true, ""},
		"more than before":                {build(image61, virtio), build(image61, virtio, storvsc), true, ""},
		"fits a machine without Hyper-V":  {nil, build(image61, virtio, netvsc, floppy), false, image61 + " was made anew without drivers that it had before or that other kernels have (hv_storvsc)"},
		"fits a machine without anything": {nil, build(image61), false, "(hv_storvsc, virtio_blk, floppy, hv_netvsc)"},
		"lost network":                    {nil, build(image61, virtio, storvsc, floppy), false, "(hv_netvsc)"},
		"a filesystem is no hardware":     {nil, build(image61, virtio, storvsc, netvsc, floppy), false, ""},
		"not made although it had to be":  {nil, nil, true, image61 + " was to be made anew, but its builder ended well and left it as it was"},
		"not what a kernel could read":    {nil, map[string]string{image61: members(virtio)[:150]}, false, "cannot be read"},
		"the kernel has it built in": {
			map[string]string{"/lib/modules/6.1/modules.dep": "kernel/drivers/block/virtio_blk.ko:\n", "/lib/modules/6.1/modules.builtin": "kernel/drivers/scsi/hv_storvsc.ko\n"},
			build(image61, virtio), true, "",
		},
		"a new kernel lacks what others have": {
			map[string]string{"/lib/modules/6.9/modules.dep": "kernel/drivers/block/virtio_blk.ko:\nkernel/drivers/scsi/hv_storvsc.ko:\n"},
			build("/boot/initrd.img-6.9", strings.ReplaceAll(virtio, "6.1", "6.9")), false, "/boot/initrd.img-6.9 was made anew without",
		},
		"a new kernel of another kind": {
			map[string]string{"/lib/modules/6.9/modules.dep": "kernel/drivers/block/virtio_blk.ko:\n"},
			build("/boot/initrd.img-6.9", strings.ReplaceAll(virtio, "6.1", "6.9")), false, "",
		},
		"the image itself leaves it out": {
			map[string]string{"/etc/dracut.conf.d/10-slim.conf": "omit_drivers+=\" floppy hv-netvsc \"\n"}, build(image61, virtio, storvsc), true, "",
		},
		"what a hook brought goes with it": {
			nil, map[string]string{image61: members(virtio, storvsc), "-/usr/share/initramfs-tools/hooks/thermal-hook": ""}, false, "",
		},
		"but not what a disk is read with": {
			nil, map[string]string{image61: members(virtio), "-/usr/share/initramfs-tools/hooks/thermal-hook": ""}, false, "(hv_storvsc)",
		},
		"a crash kernel's fits one machine": {
			map[string]string{"/boot/initramfs-6.1kdump.img": members(virtio, storvsc)}, map[string]string{"/boot/initramfs-6.1kdump.img": members(), image61: members(virtio, storvsc, netvsc, floppy)}, true, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := guarded(t, c.more)
			err := Guard{All: c.all}.Run(context.Background(), m, func() error {
				for file, text := range c.made {
					if gone, is := strings.CutPrefix(file, "-"); is {
						if err := m.Root.Remove(gone); err != nil {
							return err
						}
						continue
					}
					if err := m.Root.WriteFile(file, []byte(text), 0o600); err != nil {
						return err
					}
				}
				return nil
			})
			if got := message(err); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("error %q, want %q", got, c.want)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestGuardSettings looks at the image's settings while builders run, and afterwards, when what the run
// itself changed stays.
func TestGuardSettings(t *testing.T) {
	t.Parallel()
	for _, fast := range []bool{false, true} {
		m := guarded(t, map[string]string{"/etc/dracut.conf.d/zz-imagecustomizer.conf": "# an image's own\n"})
		read := func(name string) string {
			text, _ := m.Root.ReadFile(name)
			return string(text)
		}
		const policy, update, last, ours = "/etc/initramfs-tools/conf.d/driver-policy", "/etc/initramfs-tools/update-initramfs.conf", "/etc/dracut.conf.d/zzzz-last.conf", "/etc/dracut.conf.d/zz-imagecustomizer.conf"
		before, err := m.Root.Stat(policy)
		if err != nil {
			t.Fatal(err)
		}
		err = Guard{Fast: fast}.Run(context.Background(), m, func() error {
			for name, want := range map[string]string{policy: "# from the installer\nMODULES=most\n", update: "update_initramfs=yes\n", last: "hostonly=\"no\"\n"} {
				if got := read(name); got != want {
					t.Errorf("meanwhile %s is %q, want %q", name, got, want)
				}
			}
			if got := read(ours); !strings.HasPrefix(got, "hostonly=\"no\"\n") || strings.Contains(got, "compress=") != fast {
				t.Errorf("meanwhile %s is %q", ours, got)
			}
			return m.Root.WriteFile(last, []byte("hostonly=yes # of a package\n"), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			policy: "# from the installer\nMODULES=dep\n", update: "update_initramfs=no\n", last: "hostonly=yes # of a package\n",
			ours: "# an image's own\n", "/etc/initramfs-tools/conf.d/zz-imagecustomizer": "",
		} {
			if got := read(name); got != want {
				t.Errorf("afterwards %s is %q, want %q", name, got, want)
			}
		}
		if after, err := m.Root.Stat(policy); err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%s has another time: %v", policy, err)
		}
	}
}

// TestGuardCopies has another builder that copies the configuration while a run has its own there.
func TestGuardCopies(t *testing.T) {
	t.Parallel()
	const dir = "/var/lib/kdump/initramfs-tools/conf.d"
	m := guarded(t, map[string]string{dir + "/own": "x"})
	if err := (Guard{Fast: true}).Run(context.Background(), m, func() error {
		text, err := m.Root.ReadFile("/etc/initramfs-tools/conf.d/" + confName)
		if err != nil {
			return err
		}
		return m.Root.WriteFile(dir+"/"+confName, text, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	if m.Root.Exists(dir+"/"+confName) || !m.Root.Exists(dir+"/own") {
		t.Error("the copy of our configuration stays, or something else is gone")
	}
}

// TestFitAny edits the copy of a configuration, and nothing else.
func TestFitAny(t *testing.T) {
	t.Parallel()
	m := guarded(t, map[string]string{"/copy/initramfs.conf": "MODULES=dep # small\nCOMPRESS=zstd\n", "/copy/conf.d/x": "export MODULES='dep'\n", "/copy/conf.d/y": "MODULES=list\n"})
	if err := FitAny(m.Root, "/copy"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/copy/initramfs.conf": "MODULES=most # small\nCOMPRESS=zstd\n", "/copy/conf.d/x": "export MODULES=most\n", "/copy/conf.d/y": "MODULES=list\n",
		"/etc/initramfs-tools/conf.d/driver-policy": "# from the installer\nMODULES=dep\n",
	} {
		if got, err := m.Root.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

// TestFastestSetting has builders with and without levels of compression, and with and without fast programs.
func TestFastestSetting(t *testing.T) {
	t.Parallel()
	const levels, none = "case $COMPRESSLEVEL in", "compress=gzip"
	for want, files := range map[string]map[string]string{
		"COMPRESS=lz4\nCOMPRESSLEVEL=1\n":  {"/usr/sbin/mkinitramfs": levels, "/usr/bin/lz4": "", "/usr/bin/zstd": ""},
		"COMPRESS=zstd\nCOMPRESSLEVEL=1\n": {"/usr/sbin/mkinitramfs": levels, "/usr/bin/zstd": ""},
		"COMPRESS=gzip\nCOMPRESSLEVEL=1\n": {"/usr/sbin/mkinitramfs": levels},
		"COMPRESS=gzip\n":                  {"/usr/sbin/mkinitramfs": none, "/usr/bin/lz4": "", "/usr/bin/zstd": ""},
	} {
		if got := fastestSetting(guarded(t, files)); got != want {
			t.Errorf("%v: %q, want %q", files, got, want)
		}
	}
}
