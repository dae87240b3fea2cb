//go:build root || boot

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sealConfig seals / and /usr of debian12-seal; CORRUPTION is replaced. A /tmp on a sealed root would
// keep services from starting.
const sealConfig = `
scripts:
  postCustomization:
  - content: echo 'tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0' >> /etc/fstab
storage:
  verity:
  - id: rootverity
    name: root
    dataDevice: {idType: part-label, id: root}
    hashDevice: {idType: part-label, id: root-hash}
    corruptionOption: CORRUPTION
  - id: usrverity
    name: usr
    dataDevice: {idType: part-label, id: usr}
    hashDevice: {idType: part-label, id: usr-hash}
    dataDeviceMountIdType: uuid
    hashDeviceMountIdType: uuid
os:
  hostname: sealed
` + etcOverlay

// etcOverlay ends the os section of a sealed system: what changes in /etc lies on /var.
const etcOverlay = `  overlays:
  - mountPoint: /etc
    lowerDirs: [/etc]
    upperDir: /var/overlays/etc/upper
    workDir: /var/overlays/etc/work
    isInitrdOverlay: true
    mountDependencies: [/var]
`

func seal(t *testing.T, corruption, more string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "sealed.raw")
	customize(t, base(t, "debian12-seal"), strings.Replace(sealConfig, "CORRUPTION", corruption, 1)+more, out, "raw")
	return out
}

// partition is where a partition lies, in bytes.
type partition struct{ start, size int64 }

// partitions are those of a raw disk with a GPT, by their names.
func partitions(t *testing.T, disk string) map[string]partition {
	t.Helper()
	out, err := exec.Command("sfdisk", "--json", disk).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		PartitionTable struct {
			SectorSize int64
			Partitions []struct {
				Start, Size int64
				Name        string
			}
		}
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatal(err)
	}
	found := map[string]partition{}
	for _, p := range dump.PartitionTable.Partitions {
		found[p.Name] = partition{p.Start * dump.PartitionTable.SectorSize, p.Size * dump.PartitionTable.SectorSize}
	}
	return found
}

// extract copies a partition into a file of its own.
func extract(t *testing.T, disk, name string) string {
	t.Helper()
	p, ok := partitions(t, disk)[name]
	if !ok {
		t.Fatalf("no partition %s", name)
	}
	out := filepath.Join(t.TempDir(), name)
	dd := exec.Command("dd", "if="+disk, "of="+out, "bs=1M", "conv=sparse", "status=none",
		"iflag=skip_bytes,count_bytes", fmt.Sprintf("skip=%d", p.start), fmt.Sprintf("count=%d", p.size))
	if text, err := dd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := os.Truncate(out, p.size); err != nil {
		t.Fatal(err)
	}
	return out
}

// catFrom returns a file of an ext4 partition.
func catFrom(t *testing.T, disk, name, path string) string {
	t.Helper()
	out, err := exec.Command("debugfs", "-R", "cat "+path, fmt.Sprintf("%s?offset=%d", disk, partitions(t, disk)[name].start)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// flip changes one byte of a partition.
func flip(t *testing.T, disk, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at += partitions(t, disk)[name].start
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^b[0]}, at); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "copy.raw")
	if text, err := exec.Command("cp", "--sparse=always", from, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// linuxLines are the lines of grub.cfg that load a kernel.
var linuxLines = regexp.MustCompile(`(?m)^\s*linux\s.*$`)

// hashes are the root hashes that every boot entry names, by device.
func hashes(t *testing.T, disk string) map[string]string {
	t.Helper()
	lines := linuxLines.FindAllString(catFrom(t, disk, "boot", "/grub/grub.cfg"), -1)
	if len(lines) < 2 {
		t.Fatalf("%d boot entries", len(lines))
	}
	found := map[string]string{}
	for _, l := range lines {
		for _, name := range []string{"root", "usr"} {
			m := regexp.MustCompile(` `+name+`hash=([0-9a-f]{64})( |$)`).FindAllStringSubmatch(l, -1)
			if len(m) != 1 || found[name] != "" && found[name] != m[0][1] {
				t.Fatalf("boot entries do not name one hash for %s: %s", name, l)
			}
			found[name] = m[0][1]
		}
	}
	return found
}

// verifySealed has veritysetup verify both trees.
func verifySealed(t *testing.T, disk string) map[string]string {
	t.Helper()
	h := hashes(t, disk)
	for name, hash := range h {
		out, err := exec.Command("veritysetup", "verify", extract(t, disk, name), extract(t, disk, name+"-hash"), hash).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	return h
}

// same compares a partition of two disks byte by byte.
func same(t *testing.T, a, b, name string) bool {
	t.Helper()
	read := func(disk string) io.Reader {
		f, err := os.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		p := partitions(t, disk)[name]
		return io.NewSectionReader(f, p.start, p.size)
	}
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for ra, rb := read(a), read(b); ; {
		n, errA := io.ReadFull(ra, x)
		m, _ := io.ReadFull(rb, y)
		if string(x[:n]) != string(y[:m]) {
			return false
		}
		if errA != nil {
			return true
		}
	}
}
