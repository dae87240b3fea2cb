package cow

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// block is the unit that lies in one file or the other.
const block = 4096

// source says where a block is.
type source byte

const (
	inBase source = iota // what nobody has said anything else of
	inDelta
	nowhere // it is a hole, or was overwritten with zeros
)

// most is how many blocks a file can have: 64 TiB, like the largest VHDX.
const most = 64 << 40 / block

// blocks knows where each block of the file is: a byte for each, in memory that the process that serves the
// file shares with the one that opened it. Pages of it that were never touched are not there.
type blocks struct {
	base, delta *os.File
	beyond      int64    // where base ends
	memory      *os.File // of sources
	sources     []byte
}

// newMemory makes the memory in which all blocks are in base.
func newMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("blocks", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "blocks")
	return f, f.Truncate(most)
}

func newBlocks(base, delta, memory *os.File) (*blocks, error) {
	size, err := base.Seek(0, io.SeekEnd)
	if err == nil && size > most*block {
		err = unix.EFBIG
	}
	if err != nil {
		return nil, err
	}
	sources, err := unix.Mmap(int(memory.Fd()), 0, most, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return &blocks{base, delta, size, memory, sources}, err
}

func (b *blocks) at(i int64) source {
	if s := source(b.sources[i]); s != inBase || i*block < b.beyond {
		return s
	}
	return nowhere
}

func (b *blocks) set(i int64, to source) { b.sources[i] = byte(to) }

// extent is the longest stretch from an offset on, not beyond end, that has one source.
func (b *blocks) extent(at, end int64) (source, int64) {
	from := b.at(at / block)
	switch {
	case from == inBase && at >= b.beyond: // base ends within the block
		return nowhere, min(end, (at/block+1)*block)
	case from == inBase:
		end = min(end, b.beyond)
	}
	page := int64(os.Getpagesize())
	for i := at/block + 1; i*block < end; i++ {
		if i%page == 0 && source(b.sources[i-1]) == inBase {
			i = b.touched(i)
		}
		if i*block < end && b.at(i) != from {
			return from, i * block
		}
	}
	return from, end
}

// touched is the first block from one on whose page of the memory is there.
func (b *blocks) touched(i int64) int64 {
	next, err := b.memory.Seek(i, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return most
	case err != nil:
		return i
	}
	return next
}

// file is the one that has the blocks of a source, nil where they are zeros.
func (b *blocks) file(from source) *os.File {
	switch from {
	case inBase:
		return b.base
	case inDelta:
		return b.delta
	}
	return nil
}

// seek finds data or a hole at or after an offset of the file, whose size is told.
func (b *blocks) seek(at, size int64, data bool) (int64, error) {
	if at < 0 || at >= size {
		return 0, unix.ENXIO
	}
	for at < size {
		from, end := b.extent(at, size)
		switch {
		case from == inBase:
			found, err := b.seekBase(at, end, data)
			if err != nil || found < end {
				return found, err
			}
		case from == inDelta == data:
			return at, nil
		}
		at = end
	}
	if data {
		return 0, unix.ENXIO
	}
	return size, nil
}

// seekBase is seek in base between two offsets; it returns end where nothing was found.
func (b *blocks) seekBase(at, end int64, data bool) (int64, error) {
	whence := unix.SEEK_HOLE
	if data {
		whence = unix.SEEK_DATA
	}
	found, err := b.base.Seek(at, whence)
	switch {
	case errors.Is(err, unix.ENXIO):
		return end, nil
	case errors.Is(err, unix.EINVAL) && data: // the filesystem cannot tell
		return at, nil
	case errors.Is(err, unix.EINVAL):
		return end, nil
	case err != nil:
		return 0, err
	}
	return min(found, end), nil
}
