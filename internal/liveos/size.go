package liveos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// packedSize is the length of a root filesystem in bytes, as its superblock says: squashfs 4.0
// (Documentation/filesystems/squashfs.rst of the kernel) or erofs (fs/erofs/erofs_fs.h there).
func packedSize(r io.ReaderAt) (int64, error) {
	const squashMagic, erofsMagic, erofsAt = 0x73717368, 0xe0f5e1e2, 1024
	head := make([]byte, erofsAt+128)
	if _, err := r.ReadAt(head, 0); err != nil {
		return 0, fmt.Errorf("cannot read its superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(head) == squashMagic {
		return int64(le.Uint64(head[40:])), nil
	}
	if e := head[erofsAt:]; le.Uint32(e) == erofsMagic {
		return int64(le.Uint32(e[36:])) << e[12], nil
	}
	return 0, errors.New("it is neither squashfs nor erofs")
}
