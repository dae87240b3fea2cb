package liveos

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// small makes a medium with everything but boot programs; damage changes its files first.
func small(t *testing.T, damage func(dir string) error) string {
	t.Helper()
	dir := t.TempDir()
	root := make([]byte, 4096)
	binary.LittleEndian.PutUint32(root, 0x73717368)
	binary.LittleEndian.PutUint64(root[40:], uint64(len(root)))
	saved := `{"grubConfig": "/boot/grub/grub.cfg", "initramfsType": "bootstrap", "kernelCommandLine": ["old=1"]}`
	for name, text := range map[string]string{
		"boot/grub/grub.cfg": "menuentry 'a' {\n\tlinux /boot/vmlinuz root=live:LABEL=CDROM old=1\n\tinitrd /boot/initrd\n}\n",
		"boot/vmlinuz":       "kernel", "boot/initrd": "initrd", "docs/a": "old", savedConfig: saved, liveDir + "/" + rootImage: string(root),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if damage != nil {
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "medium.iso")
	if err := hostcmd.Unconfined("a test", "xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", Label, "-o", out, dir).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRemake(t *testing.T) {
	t.Parallel()
	in, out, text := small(t, nil), filepath.Join(t.TempDir(), "out.iso"), "new"
	before, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Args: []string{"new=a b"}, Files: []File{{Content: &text, Destination: "/docs/a", Mode: 0o644}, {Content: &text, Destination: "/b", Mode: 0o600}}}
	if err := Remake(context.Background(), in, out, s, t.TempDir(), time.Unix(1700000000, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Check(context.Background(), out); err != nil {
		t.Error(err)
	}
	m, err := openMedium(context.Background(), out)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/boot/grub/grub.cfg": "linux /boot/vmlinuz root=live:LABEL=CDROM old=1 'new=a b'\n", "/docs/a": "new", "/b": "new",
		"/boot/vmlinuz": "kernel", "/" + savedConfig: `"old=1",` + "\n" + `    "new=a b"`,
	} {
		if got, err := m.text(name); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, %q lacks %q", name, err, got, want)
		}
	}
	if after, err := os.ReadFile(in); err != nil || string(after) != string(before) {
		t.Error("the input was changed")
	}
}

// TestFilesOfAMediumStay: files that media were given are on those that are made of them, unless replaced.
func TestFilesOfAMediumStay(t *testing.T) {
	t.Parallel()
	in, text := small(t, nil), "first"
	for i, s := range []Spec{
		{Files: []File{{Content: &text, Destination: "/docs/a", Mode: 0o600}, {Content: &text, Destination: "docs/b", Mode: 0o644}}},
		{Args: []string{"more=1"}, Files: []File{{Content: &text, Destination: "/docs/../docs/b", Mode: 0o755}}},
	} {
		out := filepath.Join(t.TempDir(), "out.iso")
		if err := Remake(context.Background(), in, out, s, t.TempDir(), time.Unix(1700000000, 0)); err != nil {
			t.Fatal(i, err)
		}
		in = out
	}
	m, err := openMedium(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := m.saved()
	if err != nil || saved.keepFiles(m) != nil || len(saved.Files) != 2 {
		t.Fatalf("%v, %v", saved, err)
	}
	root, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	changed := "changed"
	st := stage{root: root, spec: Spec{Files: Replaced(saved.Files, []File{{Content: &changed, Destination: "/docs/new", Mode: 0o644}, {Content: &changed, Destination: "docs/b", Mode: 0o640}})}}
	if err := st.additional(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"docs/a": "first 600", "docs/b": "changed 640", "docs/new": "changed 644"} {
		data, err := root.ReadFile(name)
		fi, statErr := root.Stat(name)
		if err != nil || statErr != nil || fmt.Sprintf("%s %o", data, fi.Mode().Perm()) != want {
			t.Errorf("%s: %q, %v, %v", name, data, err, fi)
		}
	}
	if len(st.added) != 3 || st.added[0] != (SavedFile{"/docs/a", "0600"}) {
		t.Errorf("it remembers %v", st.added)
	}
}

// TestFilesThatAMediumClaims: nothing is taken but files of the medium.
func TestFilesThatAMediumClaims(t *testing.T) {
	t.Parallel()
	m, err := openMedium(context.Background(), small(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []SavedFile{{"/etc/shadow", "0644"}, {"../../../../etc/shadow", "0644"}, {"/docs", "0644"}, {"", "0644"}, {"/docs/a", "4755"}, {"/docs/a", "-1"}, {"/docs/a", ""}} {
		s := Saved{AdditionalFiles: []SavedFile{f}}
		if err := s.keepFiles(m); err == nil || !strings.Contains(err.Error(), "saved-configs.yaml of the ISO image") {
			t.Errorf("%v: %v", f, err)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	for want, damage := range map[string]func(dir string) error{
		"":                               nil,
		"the medium has no /boot/initrd": func(dir string) error { return os.Remove(dir + "/boot/initrd") },
		"the medium has no /liveos":      func(dir string) error { return os.Remove(dir + "/liveos/rootfs.img") },
		"it has 2048 bytes of 4096":      func(dir string) error { return os.Truncate(dir+"/liveos/rootfs.img", 2048) },
		"neither squashfs nor erofs":     func(dir string) error { return os.WriteFile(dir+"/liveos/rootfs.img", make([]byte, 4096), 0o644) },
		"was not made by this program":   func(dir string) error { return os.RemoveAll(dir + "/azl-image-customizer") },
		"does not say where grub.cfg is": func(dir string) error { return os.WriteFile(dir+"/"+savedConfig, []byte("a: 1\n"), 0o644) },
		"/boot/grub/grub.cfg: line 1: ":  func(dir string) error { return os.WriteFile(dir+"/boot/grub/grub.cfg", []byte("}\n"), 0o644) },
	} {
		err := Check(context.Background(), small(t, damage))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
