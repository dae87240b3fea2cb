package filetree

import (
	"errors"
	"imagecustomizer/internal/extent"
	"io"

	"golang.org/x/sys/unix"
)

const (
	bufferSize = 1 << 20
	often      = 16 << 20 // bytes between two reports
)

// copyFiles copies files until there are no more.
func (c *copier) copyFiles() {
	buf := make([]byte, bufferSize)
	for e := range c.files {
		if c.ctx.Err() != nil {
			continue // the walk must not block
		}
		if err := c.copyFile(e, buf); err != nil {
			c.fail(fail("copy", e.rel, err))
			continue
		}
		if done := c.done.Add(e.st.Size); c.Progress != nil && done/often > (done-e.st.Size)/often {
			c.Progress(done)
		}
	}
}

func (c *copier) copyFile(e entry, buf []byte) error {
	src, err := c.src.OpenExact(e.rel, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := c.dst.OpenExact(e.rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(c.data(dst, src, e, buf), c.fileAttributes(dst, src, e))
	return errors.Join(err, unix.Close(dst))
}

// sparse tells whether a file has holes. What the filesystem only has not written yet is none.
func sparse(st *unix.Stat_t) bool { return st.Blocks*512 < st.Size }

// data copies the extents of data.
func (c *copier) data(dst, src int, e entry, buf []byte) error {
	if !sparse(&e.st) {
		return copyRange(dst, src, 0, e.st.Size, buf)
	}
	for at := int64(0); at < e.st.Size; {
		start, end, err := extent.Next(src, at, e.st.Size)
		if err != nil {
			return err
		}
		if err := copyRange(dst, src, start, end, buf); err != nil {
			return err
		}
		at = end
	}
	return unix.Ftruncate(dst, e.st.Size)
}

func copyRange(dst, src int, at, end int64, buf []byte) error {
	for at < end {
		n, err := unix.Pread(src, buf[:min(int64(len(buf)), end-at)], at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		for written := 0; written < n; {
			m, err := unix.Pwrite(dst, buf[written:n], at+int64(written))
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			written += max(m, 0)
		}
		at += int64(n)
	}
	return nil
}

// fileAttributes gives the copy of a regular file or folder owner, mode, extended attributes and times, in an
// order in which none takes another away: a new owner drops setuid and capabilities.
func (c *copier) fileAttributes(dst, src int, e entry) error {
	times := []unix.Timespec{e.st.Atim, e.st.Mtim}
	if c.fat(e.rel) {
		return futimens(dst, times)
	}
	if e.st.Uid != 0 || e.st.Gid != 0 {
		if err := unix.Fchown(dst, int(e.st.Uid), int(e.st.Gid)); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(dst, e.st.Mode&0o7777); err != nil {
		return err
	}
	attrs, err := readAttrs(byFD(src))
	if err != nil {
		return err
	}
	for name, value := range attrs {
		if err := unix.Fsetxattr(dst, name, value, 0); err != nil {
			return errors.Join(errors.New("extended attribute "+name), err)
		}
	}
	return futimens(dst, times)
}
