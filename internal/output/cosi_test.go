package output

import (
	"context"
	"encoding/json"
	"fmt"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// partedDisk makes a raw disk with a GPT of three partitions, the numbers not in the order of the
// disk: an ext4 as 1, something unknown as 2, a FAT before it as 3.
func partedDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.raw")
	for _, line := range []string{
		"truncate -s 96M disk.raw",
		"mkfs.ext4 -q -b 4096 -U 0a1b2c3d-1111-4222-8333-44445555aaaa -d /usr/share/doc/zstd ext4.raw 40M",
		"mkfs.vfat -C -i 0A1B2C3D fat.raw 16384",
		"printf '%s\n' 'label: gpt' 'size=40M' 'start=84M, size=10M' 'size=16M, start=60M, type=uefi' | sfdisk -q disk.raw",
		"dd if=ext4.raw of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none",
		"dd if=fat.raw of=disk.raw bs=1M seek=60 conv=notrunc,sparse status=none",
		"head -c 1000000 /dev/urandom | dd of=disk.raw bs=1M seek=86 conv=notrunc iflag=fullblock status=none",
	} {
		c := exec.Command("sh", "-ec", line)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	return path
}

var testSystem = System{
	Arch: "x86_64", ID: "01234567-89ab-cdef-0123-456789abcdef", OSRelease: "ID=\"<test>\"\n",
	Packages: []Package{{"a", "1", "2", "noarch"}}, Bootloader: Bootloader{Type: "grub"},
	Mounts: []Mount{{"/", 1}, {"/home", 1}, {"/boot/efi", 3}},
	Verity: []Verity{{DataPartition: 1, HashPartition: 2, RootHash: "abcd"}},
}

// writeCOSI writes a COSI of the disk and returns its path.
func writeCOSI(t *testing.T, format, disk string) string {
	t.Helper()
	in, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	parts, err := ReadParts(extent.View{File: in}, testSystem)
	if err != nil {
		t.Fatal(err)
	}
	f, err := diskformat.Parse(format)
	if err != nil {
		t.Fatal(err)
	}
	p := create(t, filepath.Join(t.TempDir(), "my.image.cosi"))
	var done, total int64
	err = NewCOSI(f, p.Path(), 3, time.Unix(1e9, 0)).Write(context.Background(), parts, p.File(), func(d, t int64) { done, total = d, t })
	if err != nil {
		t.Fatal(err)
	}
	if total == 0 || done != total {
		t.Errorf("progress ends at %d of %d", done, total)
	}
	path := p.Path()
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
	return path
}

// shell runs a script in a folder and returns what it prints.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	c := exec.Command("bash", "-euo", "pipefail", "-c", script)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestCOSIWithOtherTools takes a COSI apart with tar, jq, sha384sum and zstd and puts the disk
// together again.
func TestCOSIWithOtherTools(t *testing.T) {
	t.Parallel()
	disk := partedDisk(t)
	path := writeCOSI(t, "cosi", disk)
	dir := t.TempDir()
	if got, want := shell(t, dir, "tar -tf "+path), "cosi-marker\nmetadata.json\nimages/my.image_gpt.raw.zst\nimages/my.image_1.raw.zst\nimages/my.image_2.raw.zst\nimages/my.image_3.raw.zst"; got != want {
		t.Errorf("members\n%s\nwant\n%s", got, want)
	}
	shell(t, dir, "tar -xf "+path)
	jq := func(q string) string { return shell(t, dir, "jq -c '"+q+"' metadata.json") }
	for q, want := range map[string]string{
		".version, .osArch, .id":              "\"1.2\"\n\"x86_64\"\n\"" + testSystem.ID + "\"",
		".disk | del(.gptRegions)":            `{"size":100663296,"type":"gpt","lbaSize":512}`,
		"[.disk.gptRegions[].type]":           `["primary-gpt","partition","partition","partition"]`,
		"[.disk.gptRegions[].number]":         `[null,1,2,3]`,
		"[.images[] | [.mountPoint,.fsType]]": `[["/","ext4"],["/home","ext4"],["/boot/efi","vfat"]]`,
		"[.images[] | .fsUuid]":               `["0a1b2c3d-1111-4222-8333-44445555aaaa","0a1b2c3d-1111-4222-8333-44445555aaaa","0A1B-2C3D"]`,
		".images[2].partType":                 `"c12a7328-f81f-11d2-ba4b-00a0c93ec93b"`,
		".images[2].verity":                   "null",
		".osRelease, .osPackages":             `"ID=\"<test>\"\n"` + "\n" + `[{"name":"a","version":"1","release":"2","arch":"noarch"}]`,
		".bootloader, .compression":           `{"type":"grub"}` + "\n" + `{"maxWindowLog":27}`,
	} {
		if got := jq(q); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	if got := jq(".images[0].verity == {image: .disk.gptRegions[2].image, roothash: \"abcd\"}"); got != "true" {
		t.Errorf("verity: %s", jq(".images[0].verity"))
	}
	sums := jq(`.disk.gptRegions[].image | "\(.sha384) \(.path) \(.compressedSize) \(.uncompressedSize)"`)
	for line := range strings.Lines(sums) {
		var sum, name string
		var small, large int64
		if _, err := fmt.Sscan(strings.Trim(strings.TrimSpace(line), `"`), &sum, &name, &small, &large); err != nil {
			t.Fatal(err)
		}
		shell(t, dir, fmt.Sprintf("echo '%s  %s' | sha384sum -c --quiet; test $(stat -c %%s %s) = %d; test $(zstd -dc %s | wc -c) = %d", sum, name, name, small, name, large))
		if got := shell(t, dir, "head -c 24 "+name+" | xxd -p"); got != "502a4d1810000000"+strings.ReplaceAll(testSystem.ID, "-", "") {
			t.Errorf("%s begins with %s", name, got)
		}
	}
	shell(t, dir, `
		truncate -s "$(jq .disk.size metadata.json)" again.raw
		zstd -dc images/*_gpt.raw.zst | dd of=again.raw conv=notrunc status=none
		for n in 1 2 3; do
			start=$(sfdisk -J again.raw 2>/dev/null | jq ".partitiontable.partitions[$n - 1].start")
			zstd -dc images/*_$n.raw.zst | dd of=again.raw bs=512 seek=$start conv=notrunc status=none
		done
		cmp -n 99614720 again.raw `+disk)
}

func TestBaremetalImageIsATarAndAVHD(t *testing.T) {
	t.Parallel()
	path := writeCOSI(t, "baremetal-image", partedDisk(t))
	out := shell(t, t.TempDir(), "tar -tf "+path+" | wc -l; qemu-img info -f vpc --output json "+path)
	count, info, _ := strings.Cut(out, "\n")
	var v struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(info), &v); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if count != "6" || v.Size%mib != 0 || v.Size != fi.Size()-512 {
		t.Errorf("%s members, a VHD of %d bytes in a file of %d", count, v.Size, fi.Size())
	}
}

// TestLargeImagesHaveAPlace: the length of a header does not depend on the size that is filled in later.
func TestLargeImagesHaveAPlace(t *testing.T) {
	t.Parallel()
	name := "images/" + strings.Repeat("x", 150) + "_1.raw.zst"
	if a, b := len(header(name, 0, 8, time.Now())), len(header(name, 1<<40, 8, time.Now())); a != b {
		t.Errorf("a header of %d bytes becomes one of %d", a, b)
	}
}

func TestSplitPartitions(t *testing.T) {
	t.Parallel()
	path := partedDisk(t)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	parts, err := ReadParts(extent.View{File: in}, System{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var all []*Pending
	for _, s := range []Split{SplitRaw, SplitZstd} {
		for _, p := range parts.Table.Partitions {
			out := create(t, s.Path(dir+"/a.b/out.x.raw", p.Number))
			if err := s.Write(context.Background(), extent.View{File: in}, p, out.File(), nil); err != nil {
				t.Fatal(err)
			}
			all = append(all, out)
		}
	}
	if err := Publish(all...); err != nil {
		t.Fatal(err)
	}
	for n, start := range map[int]int64{1: 1, 2: 84, 3: 60} {
		shell(t, dir+"/a.b", fmt.Sprintf("cmp -i 0:%d -n $(stat -c %%s out.x_%d.raw) out.x_%d.raw %s; zstd -dc out.x_%d.raw.zst | cmp - out.x_%d.raw", start*mib, n, n, path, n, n))
	}
	if got := shell(t, dir+"/a.b", "test $(du -k out.x_2.raw | cut -f1) -lt 1200 && echo sparse"); got != "sparse" {
		t.Error("the holes of a partition with 1 MB of data were written")
	}
}

func TestSplitFormats(t *testing.T) {
	t.Parallel()
	if got := SplitZstd.Path("/out/image.v1.vhdx", 12); got != "/out/image.v1_12.raw.zst" {
		t.Error(got)
	}
	if _, err := ParseSplit("zstd"); err == nil || !strings.Contains(err.Error(), "raw, raw-zstd") {
		t.Error(err)
	}
}
