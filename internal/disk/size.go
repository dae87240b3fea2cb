package disk

import (
	"encoding/binary"
	"fmt"
	"os"
)

// Extent is how much of its device a filesystem covers.
type Extent struct {
	Size  int64 // bytes
	Block int64 // bytes of a block
}

// FilesystemExtent reads off its superblock how large the ext2, ext3, ext4, xfs or btrfs filesystem on
// a device is.
func FilesystemExtent(device string) (Extent, error) {
	f, err := os.Open(device)
	if err != nil {
		return Extent{}, err
	}
	defer f.Close()
	kind := Probe(f).Type
	super := make([]byte, 1024)
	at := map[string]int64{"btrfs": 65536, "xfs": 0}[kind]
	if len(kind) == 4 && kind[:3] == "ext" {
		at = 1024
	}
	if _, err := f.ReadAt(super, at); err != nil {
		return Extent{}, err
	}
	le, be := binary.LittleEndian, binary.BigEndian
	switch kind {
	case "ext2", "ext3", "ext4": // Documentation/filesystems/ext4/super.rst
		const incompat64Bit = 0x80
		block, count := int64(1024)<<le.Uint32(super[24:]), int64(le.Uint32(super[4:]))
		if le.Uint32(super[96:])&incompat64Bit != 0 {
			count |= int64(le.Uint32(super[336:])) << 32
		}
		return Extent{count * block, block}, nil
	case "xfs": // fs/xfs/libxfs/xfs_format.h, struct xfs_dsb
		block := int64(be.Uint32(super[4:]))
		return Extent{int64(be.Uint64(super[8:])) * block, block}, nil
	case "btrfs": // include/uapi/linux/btrfs_tree.h, struct btrfs_super_block
		return Extent{int64(le.Uint64(super[112:])), int64(le.Uint32(super[144:]))}, nil
	}
	return Extent{}, fmt.Errorf("how large the filesystem on %s is cannot be told: it holds %q", device, kind)
}
