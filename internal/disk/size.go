package disk

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
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
	if strings.HasPrefix(kind, "ext") {
		e, err := ReadExt(f)
		return e.Extent, err
	}
	super := make([]byte, 1024)
	if _, err := f.ReadAt(super, map[string]int64{"btrfs": 65536, "xfs": 0}[kind]); err != nil {
		return Extent{}, err
	}
	le, be := binary.LittleEndian, binary.BigEndian
	switch kind {
	case "xfs": // fs/xfs/libxfs/xfs_format.h, struct xfs_dsb
		block := int64(be.Uint32(super[4:]))
		return Extent{int64(be.Uint64(super[8:])) * block, block}, nil
	case "btrfs": // include/uapi/linux/btrfs_tree.h, struct btrfs_super_block
		return Extent{int64(le.Uint64(super[112:])), int64(le.Uint32(super[144:]))}, nil
	}
	return Extent{}, fmt.Errorf("how large the filesystem on %s is cannot be told: it holds %q", device, kind)
}
