package verify

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/verity"
)

// verityDevice is a device of dm-verity that a boot entry asks for, with its partitions.
type verityDevice struct {
	verity.Device
	entry      boot.Entry
	data, hash *disk.Volume
	at         int64 // of the superblock, on the hash partition
}

// verityTrees checks what dm-verity is told about its devices against their superblocks, and the root hash
// against the top of the tree. It does not read the data, see Trees.
func verityTrees(s *system, found *list) {
	for _, d := range s.verityDevices(found) {
		s.verityDevice(found, d)
	}
}

// Trees reads all data under dm-verity and compares it with its hashes.
func Trees(ctx context.Context, i Image) []Finding {
	ignored, found := newList("verity"), newList("verity") // Run reports what is wrong with the arguments
	s := newSystem(ctx, i)
	for _, d := range s.verityDevices(ignored) {
		root, _ := hex.DecodeString(d.RootHash) // checked by verity.Parse
		if err := verity.Verify(ctx, s.partition(d.data), s.partition(d.hash), d.at, root); err != nil {
			found.add(Finding{File: d.entry.File, Line: d.entry.Line, Text: fmt.Sprintf("%shash=: partition %d: %v", d.Name, d.data.Number, err)})
		}
	}
	return found.all()
}

// verityDevices lists the devices of all boot entries, each once.
func (s *system) verityDevices(found *list) (devices []verityDevice) {
	seen := map[string]bool{}
	for _, e := range s.menu.Entries {
		if !s.more(lookup) {
			break
		}
		parsed, err := verity.Parse(e.Args())
		if err != nil {
			found.at(e.File, e.Line, "%v", err)
		}
		for _, p := range parsed {
			d := verityDevice{Device: p, entry: e}
			var errs [3]error
			d.data, errs[0] = s.named(p.Data)
			d.hash, errs[1] = s.named(p.Hash)
			d.at, errs[2] = p.HashOffset()
			key := p.Name + " " + p.RootHash + " " + p.Data + " " + p.Hash
			if errs != [3]error{} || seen[key] {
				continue // names that nothing has are reported with all other arguments
			}
			seen[key] = true
			devices = append(devices, d)
		}
	}
	return devices
}

func (s *system) verityDevice(found *list, d verityDevice) {
	at := func(format string, args ...any) {
		found.at(d.entry.File, d.entry.Line, d.Name+"hash=: "+format, args...)
	}
	hash := s.partition(d.hash)
	super, err := verity.ReadSuper(hash, d.at)
	if err != nil {
		at("partition %d: %v", d.hash.Number, err)
		return
	}
	room := d.data.Size
	if d.data.Number == d.hash.Number {
		room = d.at
	}
	switch size := super.DataBlocks * verity.BlockSize; {
	case size > room:
		at("the hash tree is for %d bytes of data, but partition %d has room for %d", size, d.data.Number, room)
	case d.at+verity.Size(super.DataBlocks) > d.hash.Size:
		at("the hash tree goes beyond the end of partition %d", d.hash.Number)
	}
	root, _ := hex.DecodeString(d.RootHash) // checked by verity.Parse
	if err := verity.CheckRoot(hash, d.at, root); err != nil {
		at("partition %d: %v", d.hash.Number, err)
	}
	if mounted := s.mountOf(verity.Names[d.Name]); mounted.Path == verity.Names[d.Name] && mounted.Volume.Number != d.data.Number {
		at("seals partition %d, but %s is partition %d", d.data.Number, mounted.Path, mounted.Volume.Number)
	}
}

func (s *system) partition(v *disk.Volume) io.ReaderAt {
	return io.NewSectionReader(s.Disk, v.Start, v.Size)
}
