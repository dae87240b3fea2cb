package booting

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/machine"
)

// espPlace is the EFI system partition of an image.
type espPlace struct {
	Mount  string // where it is mounted
	Volume disk.Volume
}

// findESP finds it among what is mounted.
func findESP(f *machine.Facts) (espPlace, error) {
	for _, v := range f.Volumes {
		i := slices.IndexFunc(f.Filesystems, func(x machine.Filesystem) bool { return x.Partition == v.Number })
		if (v.Partition.Type == disk.TypeESP || v.Partition.Type == "0xef") && i >= 0 {
			return espPlace{f.Filesystems[i].MountPoint, v}, nil
		}
	}
	return espPlace{}, errors.New("the image has no EFI system partition that it mounts, on which unified kernel images lie")
}

// fits fails where the partition has no room for a number of images of some bytes in all, once what is old is gone.
func (e espPlace) fits(m *machine.Machine, need int64, images int, old []string) error {
	size, cluster, err := disk.FATSize(io.NewSectionReader(m.Disk, e.Volume.Start, e.Volume.Size))
	if err != nil {
		return err
	}
	used, err := usedBytes(m, e.Mount, cluster, old)
	if err != nil {
		return err
	}
	if used+need <= size {
		return nil
	}
	lost := e.Volume.Size - size // to the filesystem itself
	const unit = 16 << 20
	would := (used + need + (used+need)/10 + lost + unit - 1) / unit * unit
	return fmt.Errorf("the EFI system partition (partition %d, %d MiB) has no room for %d unified kernel images: they take %d MiB, and %d MiB are free; a partition of %d MiB would do (storage.disks)",
		e.Volume.Number, e.Volume.Size>>20, images, (need+1<<20-1)>>20, max(0, size-used)>>20, would>>20)
}

// usedBytes is what the files below a directory take in clusters, but for those that go.
func usedBytes(m *machine.Machine, dir string, cluster int64, gone []string) (total int64, err error) {
	err = m.Root.Walk(dir, func(name string, d fs.DirEntry) error {
		for _, g := range gone {
			if name == g || strings.HasPrefix(name, g+"/") {
				return nil
			}
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		size := fi.Size()
		if d.IsDir() {
			size = cluster
		}
		total += (size + cluster - 1) / cluster * cluster
		return nil
	})
	return total, err
}
