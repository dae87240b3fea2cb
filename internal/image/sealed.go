package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/verity"
)

// Sealed is a filesystem sealed by dm-verity.
type Sealed struct {
	Device     verity.Device // as the kernel arguments describe it
	Data, Hash disk.Volume
	Super      verity.Super // of the hash tree
}

// sealedName is the name of the verity device that an fstab source is.
func sealedName(source string) (string, bool) {
	name, ok := strings.CutPrefix(source, verity.Node(""))
	return name, ok && verity.Names[name] != ""
}

// sealed tells whether the fstab says that its root is a verity device.
func (c candidate) sealed() bool {
	return slices.ContainsFunc(c.fstab.Entries(), func(e disk.Entry) bool {
		_, ok := sealedName(e.Source)
		return ok && e.Target == "/"
	})
}

// findSealed returns the verity device of that name. What it is made of is said by the kernel
// arguments only.
func (d *Disk) findSealed(name string) (Sealed, error) {
	if len(d.Sealed) == 0 {
		if err := d.readSealed(); err != nil {
			return Sealed{}, err
		}
	}
	for _, s := range d.Sealed {
		if s.Device.Name == name {
			return s, nil
		}
	}
	return Sealed{}, fmt.Errorf("/etc/fstab names %s, but the kernel arguments of the boot entries describe no such verity device", verity.Node(name))
}

func (d *Disk) readSealed() error {
	scheme, err := boot.Detect(d.Root)
	if err != nil {
		return err
	}
	args, err := boot.Args(d.Root, scheme)
	if err != nil {
		return err
	}
	devices, err := verity.Parse(args)
	if err != nil {
		return err
	}
	for _, dev := range devices {
		s := Sealed{Device: dev}
		data, err := disk.Find(d.Volumes, dev.Data)
		if err != nil {
			return err
		}
		hash, err := disk.Find(d.Volumes, dev.Hash)
		if err != nil {
			return err
		}
		s.Data, s.Hash = *data, *hash
		at, err := dev.HashOffset()
		if err == nil {
			s.Super, err = verity.ReadSuper(d.section(*hash), at)
		}
		if err != nil {
			return fmt.Errorf("partition %d, the hash tree of %s: %w", hash.Number, verity.Node(dev.Name), err)
		}
		d.Sealed = append(d.Sealed, s)
	}
	return nil
}

// section is a partition's part of the disk file.
type section struct {
	*io.SectionReader
	file  *os.File
	start int64
}

func (d *Disk) section(v disk.Volume) section {
	return section{io.NewSectionReader(d.file, v.Start, v.Size), d.file, v.Start}
}

// Zero tells whether a part is a hole of the file.
func (s section) Zero(at, n int64) bool {
	return extent.IsHole(int(s.file.Fd()), s.start+at, n)
}

func (d *Disk) mountSealed(ctx context.Context, name string, e disk.Entry) error {
	s, err := d.findSealed(name)
	if err != nil {
		return err
	}
	target, err := d.mountTarget(e.Target)
	if err != nil {
		return err
	}
	d.Mounts = append(d.Mounts, Mounted{Path: e.Target, Volume: s.Data, Kept: !d.reseal})
	return d.mountVolume(ctx, s.Data, target, disk.KeptOptions(s.Data.Content.Type, e.Options), !d.reseal)
}

// checkSealedRoot fails where the root that was found is not the one that the kernel arguments seal.
func (d *Disk) checkSealedRoot(root disk.Volume) error {
	s, err := d.findSealed("root")
	if err == nil && s.Data.Number != root.Number {
		err = fmt.Errorf("the kernel arguments name partition %d as the sealed root, but the root is on partition %d", s.Data.Number, root.Number)
	}
	return err
}

// Seal is how to seal a filesystem.
type Seal struct {
	Name       string // of the verity device
	Data, Hash string // partitions, as fstab names them; the same one means a tree behind the data
	// DataTag and HashTag say how the kernel arguments are to name the partitions.
	DataTag, HashTag string
	Options          []string // of systemd-veritysetup, without hash-offset
	Salt             []byte
	UUID             [16]byte
}

// Seal makes the hash tree of an unmounted filesystem. What it returns is for the kernel arguments.
func (d *Disk) Seal(ctx context.Context, s Seal) (Sealed, error) {
	data, err := disk.Find(d.Volumes, s.Data)
	if err != nil {
		return Sealed{}, err
	}
	hash, err := disk.Find(d.Volumes, s.Hash)
	if err != nil {
		return Sealed{}, err
	}
	dev := verity.Device{Name: s.Name, Options: s.Options}
	size, at := data.Size, int64(0)
	if data.Number == hash.Number {
		size = verity.InlineData(data.Size)
		at, dev = size, dev.WithHashOffset(size)
	}
	super := verity.Super{UUID: s.UUID, DataBlocks: size / verity.BlockSize, Salt: s.Salt}
	if need := at + verity.Size(super.DataBlocks); need > hash.Size {
		return Sealed{}, fmt.Errorf("the hash tree of partition %d takes %d bytes; partition %d has only %d", data.Number, need-at, hash.Number, hash.Size-at)
	}
	root, err := verity.Format(ctx, d.section(*data), io.NewOffsetWriter(d.file, hash.Start), at, super)
	if err != nil {
		return Sealed{}, fmt.Errorf("make the hash tree of partition %d: %w", data.Number, err)
	}
	dev.RootHash = hex.EncodeToString(root)
	if at == 0 {
		hash.Content = disk.Probe(d.section(*hash))
	}
	var errHash error
	dev.Data, err = data.Named(s.DataTag)
	dev.Hash, errHash = hash.Named(s.HashTag)
	return Sealed{Device: dev, Data: *data, Hash: *hash, Super: super}, errors.Join(err, errHash)
}
