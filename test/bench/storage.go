package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"imagecustomizer/internal/hostcmd"
)

// layout is the disk that reference-repartition.sh makes.
const layout = `
os: {imageHistory: none, bootloader: {resetType: hard-reset}}
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, size: 512M, label: boot}
    - {id: var, type: var, size: 1G}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: {path: /boot/efi, idType: uuid}}
  - {deviceId: boot, type: ext4, mountPoint: {path: /boot, idType: uuid}}
  - {deviceId: var, type: ext4, mountPoint: {path: /var, idType: uuid}}
  - {deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid, options: errors=remount-ro}}
`

// sealed is what reference-verity.sh does.
const sealed = `
os: {imageHistory: none}
storage:
  verity:
  - id: rootverity
    name: root
    dataDevice: {idType: part-label, id: root}
    hashDevice: {idType: part-label, id: root-hash}
`

// storageCase is work on partitions that a script of the same name does too.
type storageCase struct {
	name    string
	base    string
	budget  float64 // of the script's wall time
	reads   float64 // of the bytes used, at most; 0 for no limit
	outputs string  // pattern of the files that either side writes
	ours    func(base, out string) (*hostcmd.Cmd, error)
}

func (b *bench) storageCases() []storageCase {
	customize := func(format, config string, more ...string) func(base, out string) (*hostcmd.Cmd, error) {
		return func(base, out string) (*hostcmd.Cmd, error) {
			file := filepath.Join(b.dir, "storage.yaml")
			return b.ours(base, format, file, out, more...), os.WriteFile(file, []byte(config), 0o644)
		}
	}
	return []storageCase{
		{"repartition", "debian12-efi", 0.6, 0, "out.raw", customize("raw", layout)},
		{"verity", "debian12-seal", 0.35, 0, "out.raw", customize("raw", sealed)},
		{"split", "debian12-efi", 0.6, 1.1, "out_*.raw.zst", customize("", unchanged, "--output-split-partitions-format", "raw-zstd")},
		{"cosi", "debian12-efi", 0.6, 1.1, "out.raw", func(base, out string) (*hostcmd.Cmd, error) {
			return hostcmd.Unconfined("a test", "bin/imagecustomizer", "convert", "--build-dir", filepath.Join(b.dir, "build"), "--image-file", base,
				"--output-image-file", out, "--output-image-format", "cosi", "--cosi-compression-level", "9", "--log-level", "error"), nil
		}},
	}
}

// storage compares work on partitions.
func (b *bench) storage(ctx context.Context) error {
	for _, c := range b.storageCases() {
		if !b.match.MatchString(c.name) {
			continue
		}
		if err := b.storageCase(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (b *bench) storageCase(ctx context.Context, c storageCase) error {
	base, err := b.distributionDefaults(ctx, c.base)
	if err != nil {
		return err
	}
	used, err := allocated(base)
	if err != nil {
		return err
	}
	dirs := [2]string{filepath.Join(b.dir, "ours"), filepath.Join(b.dir, "theirs")}
	ours, err := c.ours(base, filepath.Join(dirs[0], "out.raw"))
	if err != nil {
		return err
	}
	sides := [2]*side{{command: ours, out: dirs[0]}, {out: dirs[1], command: hostcmd.Unconfined("a test", "test/bench/reference-"+c.name+".sh", base, filepath.Join(dirs[1], "out.raw"))}}
	if err := b.compare(ctx, sides[0], sides[1]); err != nil {
		return err
	}
	var sizes [2]int64
	for i, d := range dirs {
		if sizes[i], err = sizeOf(filepath.Join(d, c.outputs)); err != nil {
			return err
		}
	}
	return b.reportStorage(c, sides, sizes, used)
}

// sizeOf is how much the files of a pattern take up.
func sizeOf(pattern string) (sum int64, err error) {
	files, err := filepath.Glob(pattern)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: no such file", pattern)
	}
	for _, f := range files {
		n, err := allocated(f)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, err
}

func (b *bench) reportStorage(c storageCase, sides [2]*side, sizes [2]int64, used int64) error {
	x, y := sides[0].median(), sides[1].median()
	ratio := x.wall.Seconds() / y.wall.Seconds()
	fmt.Printf("%-12s %d MiB used | wall %.2f s, script %.2f s, ratio %.2f | cpu %.2f, %.2f | read %d, %d MiB | written %d, %d MiB | output %d, %d MiB | memory %d MiB\n",
		c.name, used>>20, x.wall.Seconds(), y.wall.Seconds(), ratio, x.cpu.Seconds(), y.cpu.Seconds(), x.read>>20, y.read>>20, x.written>>20, y.written>>20, sizes[0]>>20, sizes[1]>>20, x.memory>>20)
	b.want("wall time of the script's", ratio, c.budget, "")
	b.want("size of the script's output", float64(sizes[0])/float64(sizes[1]), 1.05, "")
	if c.reads > 0 { // the output is not the working disk, which may be the smaller of both
		x.space = max(0, x.space-sizes[0])
	}
	b.want("temporary space besides the working disk, of the bytes used", float64(x.space)/float64(used), 0.1, "")
	if c.reads > 0 {
		b.want("bytes read of those used", float64(x.read)/float64(used), c.reads, "")
	}
	return nil
}
