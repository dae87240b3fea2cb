package cow

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// block is the unit that lies in one file or the other.
const block = 4096

// source says where a block is.
type source byte

const (
	inBase source = iota
	inDelta
	nowhere // it is a hole, or was overwritten with zeros
)

// span is how many blocks' sources are kept together; those of a span that was never written to are not kept.
const span = 1 << 14

// blocks knows where each block of the file is.
type blocks struct {
	base   *os.File
	beyond int64 // where base ends
	size   int64 // of the file
	spans  map[int64]*[span]source
}

func (b *blocks) at(i int64) source {
	if s := b.spans[i/span]; s != nil {
		return s[i%span]
	}
	if i*block >= b.beyond {
		return nowhere
	}
	return inBase
}

func (b *blocks) set(i int64, to source) {
	s := b.spans[i/span]
	if s == nil {
		s = new([span]source)
		first := i / span * span
		for k := range s {
			s[k] = b.at(first + int64(k))
		}
		b.spans[i/span] = s
	}
	s[i%span] = to
}

// extent is the longest stretch from an offset on, not beyond end, that has one source.
func (b *blocks) extent(at, end int64) (source, int64) {
	from := b.at(at / block)
	for i := at/block + 1; i*block < end; i++ {
		if b.at(i) != from {
			return from, i * block
		}
	}
	return from, end
}

// seek finds data or a hole at or after an offset.
func (b *blocks) seek(at int64, data bool) (int64, error) {
	if at < 0 || at >= b.size {
		return 0, unix.ENXIO
	}
	for at < b.size {
		from, end := b.extent(at, b.size)
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
	return b.size, nil
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
