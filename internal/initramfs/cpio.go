package initramfs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
)

// headerSize is the size of a cpio header in the new ASCII format, which is what initramfs images
// are made of (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
const headerSize = 110

const (
	trailer = "TRAILER!!!"
	maxName = 1 << 16 // bytes of a member's name that are believed
)

var errDamaged = errors.New("the cpio archive is damaged")

// member is one entry of a cpio archive: head is its header and name, padded; size bytes of content
// follow, padded to a multiple of four.
type member struct {
	name string
	head []byte
	size int64
}

// readMember reads the header and name of the next entry.
func readMember(r *bufio.Reader) (m member, err error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.HasPrefix(head, []byte("07070")) {
		return m, errDamaged
	}
	field := func(i int) int64 {
		n, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return -1
		}
		return int64(n)
	}
	size, nameSize := field(6), field(11)
	if size < 0 || nameSize < 1 || nameSize > maxName {
		return m, errDamaged
	}
	m.size, m.head = size, append(head, make([]byte, align(headerSize+nameSize)-headerSize)...)
	if _, err := io.ReadFull(r, m.head[headerSize:]); err != nil {
		return m, errDamaged
	}
	m.name = string(m.head[headerSize : headerSize+nameSize-1])
	return m, nil
}

func align(n int64) int64 { return (n + 3) &^ 3 }

// mainSegment is where the last archive of an image begins. Archives before it, such as the one with
// early microcode, are never compressed. It calls each for their members.
func mainSegment(image io.ReaderAt, size int64, each func(member)) int64 {
	start, at := int64(0), int64(0)
	r := sectionReader(image, 0, size)
	for {
		m, err := readMember(r)
		if err != nil {
			return start
		}
		if each != nil {
			each(m)
		}
		at += int64(len(m.head)) + align(m.size)
		if m.size > 0 { // skip the content without reading it
			r = sectionReader(image, at, size)
		}
		if m.name != trailer {
			continue
		}
		for b, err := r.ReadByte(); err == nil && b == 0; b, err = r.ReadByte() {
			at++
		}
		if at >= size {
			return start
		}
		start = at
		r = sectionReader(image, at, size)
	}
}

func sectionReader(image io.ReaderAt, at, size int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(image, at, max(0, size-at)), 1<<12)
}

// walk calls each for the members of all archives of a stream, and returns how long the stream is. What
// follows the last archive is padding.
func walk(src io.Reader, each func(member)) (size int64, err error) {
	r := bufio.NewReaderSize(src, 1<<16)
	for {
		m, err := readMember(r)
		if err != nil {
			return size, err
		}
		each(m)
		n, err := r.Discard(int(align(m.size)))
		size += int64(len(m.head)) + int64(n)
		if err != nil {
			return size, errDamaged
		}
		if m.name != trailer {
			continue
		}
		zeros, more := padding(r)
		size += zeros
		if !more {
			return size, nil
		}
	}
}

// padding skips zeros, and tells whether anything follows.
func padding(r *bufio.Reader) (n int64, more bool) {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return n, false
		}
		if b != 0 {
			return n, r.UnreadByte() == nil
		}
		n++
	}
}

// copyWithout copies an archive but for the named members.
func copyWithout(dst io.Writer, src io.Reader, names []string) error {
	r := bufio.NewReaderSize(src, 1<<16)
	for {
		m, err := readMember(r)
		if err != nil {
			return err
		}
		to := dst
		if slices.Contains(names, m.name) {
			to = io.Discard
		}
		if _, err := to.Write(m.head); err != nil {
			return err
		}
		if _, err := io.CopyN(to, r, align(m.size)); err != nil {
			return err
		}
		if m.name == trailer {
			_, err := io.Copy(dst, r)
			return err
		}
	}
}
