package liveos

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"
)

// canary is a file of this host that no medium and no image may read or write.
func canary(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(name, []byte("host"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func unchanged(t *testing.T, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the host's file: %v, %v", entries, err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "host" {
		t.Errorf("the host's file holds %q, %v", got, err)
	}
}

// TestMediumNamesAndLinks has names that a listing could be forged with, and links of all kinds.
func TestMediumNamesAndLinks(t *testing.T) {
	t.Parallel()
	secret := canary(t)
	forged := "x\nFile data lba:  0 ,        0 ,        1 ,        9 , '/forged'\ny"
	medium := small(t, func(dir string) error {
		for name, target := range map[string]string{"up": "../../../../../../../.." + secret, "abs": secret, "it's -> here": "boot", "loop": "loop", "gone": "nothing"} {
			if err := os.Symlink(target, filepath.Join(dir, "boot", name)); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(dir, "boot", strings.ReplaceAll(forged, "/", "_")), []byte("forged"), 0o600)
	})
	m, err := openMedium(context.Background(), medium)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/boot/up", "/boot/abs", "/boot/loop", "/boot/gone", "/boot", "/forged", "/_forged", "/../etc/passwd"} {
		if text, err := m.text(name); err == nil {
			t.Errorf("%q was read: %q", name, text)
		}
	}
	if got, err := m.text("/boot/" + strings.ReplaceAll(forged, "/", "_")); err != nil || got != "forged" {
		t.Errorf("%q, %v", got, err)
	}
	if m.links["/boot/it's -> here"] != "boot" || m.links["/boot/abs"] != secret {
		t.Errorf("links %q", m.links)
	}
}

// TestSavedConfigIsALink: what a medium says of itself, and its menu, may be links to files of this host.
func TestSavedConfigIsALink(t *testing.T) {
	t.Parallel()
	for _, name := range []string{savedConfig, "boot/grub/grub.cfg", "liveos/rootfs.img", "boot/grub", "azl-image-customizer", "liveos"} {
		secret := canary(t)
		medium := small(t, func(dir string) error {
			path := filepath.Join(dir, name)
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return os.Symlink(secret, path)
		})
		if err := Check(context.Background(), medium); err == nil || strings.Contains(err.Error(), "host") {
			t.Errorf("%s: %v", name, err)
		}
		unchanged(t, secret)
	}
}

// TestStageLinks: links of the image in what is copied onto a medium, where files of the medium come to lie.
func TestStageLinks(t *testing.T) {
	t.Parallel()
	text := "user"
	for _, name := range []string{
		"boot/grub/i386-pc", "boot/grub/i386-pc/gfxterm.mod", "boot/grub/i386-pc/eltorito.img", "boot/grub/grub.cfg", "boot/grub", "boot",
		"boot/docs", "boot/docs/a", "boot/initramfs-6.1.img",
	} {
		for _, to := range []string{"absolute", "climbing", "folder"} {
			secret := canary(t)
			m, work := sample(t), newRoot(t)
			target := map[string]string{"absolute": secret, "climbing": "../../../../../../../.." + secret, "folder": filepath.Dir(secret)}[to]
			// In the image the link leads to something, or it would be left out.
			if err := put(m.Root, secret, strings.NewReader("of the image"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := m.Root.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
			if err := putText(m.Root, name, ""); err != nil {
				t.Fatal(err)
			}
			if err := addLinks(m.Root, map[string]string{name: target}); err != nil {
				t.Fatal(err)
			}
			st, err := newStage(m, Spec{Files: []File{{Content: &text, Destination: "/boot/docs/a"}}, Filesystem: Filesystem{"squashfs", 3}}, work, "medium")
			if err == nil {
				err = st.fill() // it may fail, but not reach anything
			}
			t.Logf("%s %s: %v", name, to, err)
			unchanged(t, secret)
		}
	}
}

// TestUnpackedLinks fills a disk whose packed system has links in the places of the medium's files.
func TestUnpackedLinks(t *testing.T) {
	t.Parallel()
	secret := canary(t)
	m, err := openMedium(context.Background(), small(t, func(dir string) error {
		path := filepath.Join(dir, "efi/boot/zz.efi")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.Symlink(secret, path)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"boot", "boot/vmlinuz", "boot/grub", "boot/grub/grub.cfg", "boot/initrd", "boot/efi", "boot/efi/EFI", "etc", "etc/fstab"} {
		for _, target := range []string{secret, filepath.Dir(secret), "../../../../../../../.." + secret, "/proc/self/cwd"} {
			root := newRoot(t)
			if err := putText(root, name, ""); err != nil {
				t.Fatal(err)
			}
			if err := addLinks(root, map[string]string{name: target}); err != nil {
				t.Fatal(err)
			}
			u := unpacker{medium: m, root: root, layout: unpackedLayout(1<<20, func(string) string { return "ID" })}
			for _, f := range []func() error{u.boot, u.esp, u.fstab} {
				if err := f(); err != nil {
					t.Logf("%s -> %s: %v", name, target, err)
				}
			}
			unchanged(t, secret)
			noSecret(t, root)
		}
	}
}

// noSecret looks whether the host's text came into a tree.
func noSecret(t *testing.T, root *rootfs.Root) {
	t.Helper()
	if data, err := root.ReadFile("/boot/efi/EFI/BOOT/zz.efi"); err == nil {
		t.Errorf("the host's file is in the image: %q", data)
	}
}
