package disk

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/hostcmd"
)

// TestGRUBReadsWhatWeSay makes filesystems with one feature each and has GRUB's own code read them.
func TestGRUBReadsWhatWeSay(t *testing.T) {
	t.Parallel()
	out, err := hostcmd.Unconfined("a test", "grub-fstest", "--version").Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(out)
	version, vendor := fields[len(fields)-1], ""
	if strings.Contains(version, "deb") {
		vendor = "grub.debian"
	}
	for _, c := range []struct{ name, mkfs string }{
		{"extent", "mkfs.ext4 -q -F -O none,extent -d @"},
		{"64bit", "mkfs.ext4 -q -F -O none,extent,64bit -d @"},
		{"meta_bg", "mkfs.ext4 -q -F -O meta_bg,^resize_inode -d @"},
		{"mmp", "mkfs.ext4 -q -F -O mmp -d @"},
		{"flex_bg", "mkfs.ext4 -q -F -O none,flex_bg -d @"},
		{"metadata_csum_seed", "mkfs.ext4 -q -F -O metadata_csum_seed -d @"},
		{"large_dir", "mkfs.ext4 -q -F -O large_dir -d @"},
		{"encrypt", "mkfs.ext4 -q -F -O encrypt -d @"},
		{"inline_data", "mkfs.ext4 -q -F -O inline_data -d @"},
		{"casefold", "mkfs.ext4 -q -F -O casefold -d @"},
		{"ea_inode", "mkfs.ext4 -q -F -O ea_inode -d @"},
		{"bigalloc", "mkfs.ext4 -q -F -O bigalloc -d @"},
		{"metadata_csum", "mkfs.ext4 -q -F -O metadata_csum -d @"},
		{"project", "mkfs.ext4 -q -F -O project,quota -d @"},
		{"bigtime", "mkfs.xfs -q -m bigtime=1 -i nrext64=0 -p @/proto"},
		{"nrext64", "mkfs.xfs -q -i nrext64=1 -p @/proto"},
		{"sparse", "mkfs.xfs -q -m bigtime=0,reflink=0 -i sparse=1,nrext64=0 -p @/proto"},
		{"no-holes", "mkfs.btrfs -q -O no-holes -r @"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := FeatureNamed(strings.TrimPrefix(strings.Fields(c.mkfs)[0], "mkfs."), c.name)
			if got, says := grubReads(t, c.mkfs), f.ReadBy(version, vendor); got != says || f.bit == 0 {
				t.Errorf("GRUB %s reads it: %v; we say %v", version, got, says)
			}
		})
	}
}

// grubReads makes a filesystem with a file and compares that with what GRUB reads of it.
func grubReads(t *testing.T, mkfs string) bool {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	file := filepath.Join(dir, "kernel")
	for name, text := range map[string]string{file: strings.Repeat("kernel", 1000), filepath.Join(dir, "proto"): "/dev/null\n1 1\nd--755 0 0\nkernel ---644 0 0 " + file + "\n$\n", image: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(image, 320*mib); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.ReplaceAll(mkfs, "@", dir))
	run(t, words[0], append(words[1:], image)...)
	out, err := hostcmd.Unconfined("a test", "grub-fstest", image, "crc", "/kernel").Output(context.Background())
	return err == nil && strings.TrimSpace(out) != ""
}

// TestFeaturesAreInTheTable has each feature that a distribution makes either in the table of who can use
// it, or among those that anybody can.
func TestFeaturesAreInTheTable(t *testing.T) {
	t.Parallel()
	anybody := []string{"resize_inode", "dir_index", "ext_attr", "has_journal", "crc"}
	for _, d := range append(distro.All(), distro.Match(map[string]string{"ID": "nobody"})) {
		for _, kind := range []string{"ext4", "xfs", "btrfs"} {
			for _, name := range d.Filesystems.Of(kind) {
				if (FeatureNamed(kind, name).bit != 0) == slices.Contains(anybody, name) {
					t.Errorf("%s: %s of %s is in none of the lists, or in both", d.Name, name, kind)
				}
			}
		}
	}
}
