//go:build root

package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) {
	if status, ok := sandbox.Main(nil); ok { // a program that a test runs in an image
		os.Exit(status)
	}
	os.Exit(rootns.Main(m.Run))
}

// part is a partition of a disk that a test makes.
type part struct {
	script string // line of an sfdisk script
	mkfs   string // command that formats it; the device is added
	files  map[string]string
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, input, program string, args ...string) string {
	t.Helper()
	c := hostcmd.Unconfined("a test", program, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.Output(t.Context())
	must(t, err)
	return out
}

// build makes a disk with sectors of that size. Files whose name begins with @ lie in a btrfs
// subvolume; one whose content begins with -> is a symbolic link.
func build(t testing.TB, label string, sector int, parts []part) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "disk.raw"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	must(t, f.Truncate(1600<<20))
	l, err := disk.AttachLoop(f, "/dev", sector)
	must(t, err)
	script := "label: " + label + "\nlabel-id: 0x12345678\n"
	if label == "gpt" {
		script = "label: gpt\n"
	}
	for _, p := range parts {
		script += p.script + "\n"
	}
	run(t, script, "sfdisk", "-q", "--no-reread", "--no-tell-kernel", l.Node())
	must(t, l.Sync())
	table, err := disk.ReadTable(f, 1600<<20)
	must(t, err)
	numbers, err := l.AddPartitions(table)
	must(t, err)
	n := 0
	for _, p := range parts {
		if p.mkfs != "" {
			fill(t, p, numbers[table.Partitions[n].Number])
		}
		if !strings.HasSuffix(p.script, "type=5") {
			n++
		}
	}
	must(t, l.Detach())
	return f
}

func fill(t testing.TB, p part, number uint64) {
	t.Helper()
	node := filepath.Join(t.TempDir(), "part")
	must(t, unix.Mknod(node, unix.S_IFBLK|0o600, int(number)))
	run(t, "passphrase", "sh", "-ec", p.mkfs+" "+node+" >&2")
	if len(p.files) == 0 {
		return
	}
	dir := t.TempDir()
	fs := strings.TrimPrefix(strings.Fields(p.mkfs)[0], "mkfs.")
	if fs == "vfat" {
		writeFiles(t, dir, p.files)
		args := []string{"-i", node, "-s"}
		found, err := filepath.Glob(dir + "/*")
		must(t, err)
		run(t, "", "mcopy", append(append(args, found...), "::/")...)
		return
	}
	must(t, disk.MountVolume(node, dir, fs, "", false))
	writeFiles(t, dir, p.files)
	must(t, disk.Unmount(dir))
}

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if subvol, _, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(name, "@") {
			if _, err := os.Stat(filepath.Join(dir, subvol)); err != nil {
				run(t, "", "btrfs", "-q", "subvolume", "create", filepath.Join(dir, subvol))
			}
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(content, "->"); ok {
			must(t, os.Symlink(target, path))
			continue
		}
		must(t, os.WriteFile(path, bytes.Clone([]byte(content)), 0o644))
	}
}
