package output

import (
	"errors"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/extent"
)

// writeBehind is after how much the kernel is asked to write what it has got.
const writeBehind = 16 * mib

// sink is a place in a file that is filled from its beginning on.
type sink struct {
	file *os.File
	at   int64     // where the next byte goes
	sum  hash.Hash // of what was written; nil where nobody asks for it
}

// Write appends bytes.
func (r *sink) Write(b []byte) (int, error) {
	n, err := r.file.WriteAt(b, r.at)
	r.at += int64(n)
	if r.sum != nil {
		r.sum.Write(b[:n])
	}
	return n, err
}

// take appends what comes from a pipe, up to its end. The kernel moves it; where it cannot, it is read
// and written.
func (r *sink) take(pipe *os.File) error {
	for {
		n, err := spliceFrom(pipe, r.file, r.at, mib)
		if errors.Is(err, unix.EINVAL) {
			_, err = io.Copy(r, pipe)
			return err
		}
		if err != nil || n == 0 {
			return err
		}
		if err := r.moved(n); err != nil {
			return err
		}
	}
}

// moved adds what was moved here to the sum, from where it lies in memory.
func (r *sink) moved(n int64) error {
	at := r.at
	r.at += n
	if unit := int64(writeBehind); at/unit != r.at/unit {
		extent.WriteBehind(r.file, at/unit*unit, unit)
	}
	if r.sum == nil {
		return nil
	}
	from := at &^ int64(os.Getpagesize()-1)
	b, err := unix.Mmap(int(r.file.Fd()), from, int(r.at-from), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		_, err = io.Copy(r.sum, io.NewSectionReader(r.file, at, n))
		return err
	}
	r.sum.Write(b[at-from:])
	return unix.Munmap(b)
}

// spliceInto moves bytes of a file into a pipe, as references to its pages in memory.
func spliceInto(pipe, f *os.File, at, n int64) (moved int64, err error) {
	c, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	waitErr := c.Write(func(fd uintptr) bool {
		moved, err = splice(int(f.Fd()), &at, int(fd), nil, n)
		return !errors.Is(err, unix.EAGAIN)
	})
	return moved, errors.Join(waitErr, err)
}

// spliceFrom moves bytes from a pipe into a file. It returns 0 at the pipe's end.
func spliceFrom(pipe, f *os.File, at, n int64) (moved int64, err error) {
	c, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	waitErr := c.Read(func(fd uintptr) bool {
		moved, err = splice(int(fd), nil, int(f.Fd()), &at, n)
		return !errors.Is(err, unix.EAGAIN)
	})
	return moved, errors.Join(waitErr, err)
}

func splice(from int, fromAt *int64, to int, toAt *int64, n int64) (int64, error) {
	for {
		moved, err := unix.Splice(from, fromAt, to, toAt, int(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return moved, err
		}
	}
}
