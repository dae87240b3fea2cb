package diskformat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/extent"
)

// packFunc writes a raw disk of size bytes to an empty file, or turns the file of the disk into the format
// where out is that same file.
type packFunc func(ctx context.Context, id Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error

// write is f on files by their names.
func (f packFunc) write(ctx context.Context, id Identity, disk string, size int64, out string, progress func(done, total int64)) error {
	in, err := openDisk(disk, size)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := os.OpenFile(out, os.O_RDWR|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, id, in, size, file, progress), file.Close())
}

// openDisk opens a raw disk of at least size bytes.
func openDisk(name string, size int64) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end < size {
		f.Close()
		return nil, fmt.Errorf("the disk has %d bytes instead of %d: %w", end, size, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return f, nil
}

// zeroBlock is how many bytes that are zero are left out: a cluster of a qcow2.
const zeroBlock = qcow2Cluster

// packer lays the blocks of a disk that hold data one after the other into a file, in the disk's
// order: what qcow2 and VHDX files have between their tables. qemu-img does the same several times
// slower, since it reads and writes what the kernel can copy.
type packer struct {
	block  int64   // size of a block in bytes
	first  int64   // where the first one lies in the file
	blocks []int64 // numbers of the disk's blocks, in the order of the file
}

// pack copies the data of the disk, and leaves blocks out that are zero. Where the file is the disk's own,
// it moves them.
func (p *packer) pack(ctx context.Context, out, disk *os.File, size int64, progress func(done, total int64)) error {
	if out == disk {
		return p.fold(ctx, disk, size, progress)
	}
	return copyData(ctx, out, disk, size, p.place, progress)
}

// copyData copies the data of a disk to where place says.
func copyData(ctx context.Context, out, disk *os.File, size int64, place func(at, n int64) int64, progress func(done, total int64)) error {
	return extent.Each(ctx, disk, size, zeroBlock, func(at, n int64) error {
		to := place(at, n)
		if err := extent.Copy(out, disk, at, to, n); err != nil {
			return err
		}
		extent.WriteBehind(out, to, n)
		progress(at+n, size)
		return nil
	})
}

// fold cuts blocks without data out of the disk's file and makes room before the first one. No data is
// copied: the filesystem moves its extents (fallocate(2), FALLOC_FL_COLLAPSE_RANGE). The last gap comes
// first, so that the others are where they were.
func (p *packer) fold(ctx context.Context, disk *os.File, size int64, progress func(done, total int64)) error {
	err := extent.Each(ctx, disk, size, zeroBlock, func(at, n int64) error {
		p.place(at, n)
		return nil
	})
	if err != nil {
		return err
	}
	if len(p.blocks) == 0 {
		return disk.Truncate(0)
	}
	if err := disk.Truncate((p.blocks[len(p.blocks)-1] + 1) * p.block); err != nil {
		return err
	}
	for i := len(p.blocks) - 1; i >= 0; i-- {
		begin := int64(0)
		if i > 0 {
			begin = p.blocks[i-1] + 1
		}
		if err := p.cut(ctx, disk, begin, p.blocks[i]); err != nil {
			return err
		}
		progress(size-p.blocks[i]*p.block, size)
	}
	return unix.Fallocate(int(disk.Fd()), unix.FALLOC_FL_INSERT_RANGE, 0, p.first)
}

// cut takes the blocks from begin up to end out of a file.
func (p *packer) cut(ctx context.Context, file *os.File, begin, end int64) error {
	if begin == end {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, begin*p.block, (end-begin)*p.block)
}

// folds tells whether the filesystem of an empty file can cut ranges out of it, and put ranges in: ext4
// and xfs can.
func folds(file *os.File) bool {
	fd := int(file.Fd())
	const cut, put = unix.FALLOC_FL_COLLAPSE_RANGE, unix.FALLOC_FL_INSERT_RANGE
	err := errors.Join(file.Truncate(3*zeroBlock), unix.Fallocate(fd, cut, zeroBlock, zeroBlock), unix.Fallocate(fd, put, 0, zeroBlock))
	return errors.Join(err, file.Truncate(0)) == nil
}

// place finds room for an extent of the disk, which lies behind all extents before.
func (p *packer) place(at, n int64) int64 {
	number := at / p.block
	if len(p.blocks) == 0 || p.blocks[len(p.blocks)-1] < number {
		p.blocks = append(p.blocks, number)
	}
	to := p.end() - p.block + at%p.block
	for last := (at + n - 1) / p.block; number < last; {
		number++
		p.blocks = append(p.blocks, number)
	}
	return to
}

// at is where the i-th block lies in the file.
func (p *packer) at(i int) int64 { return p.first + int64(i)*p.block }

// end is where the last block ends.
func (p *packer) end() int64 { return p.at(len(p.blocks)) }
