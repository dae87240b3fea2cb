package initramfs

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
)

// headerSize is the size of a cpio header in the new ASCII format, which is what initramfs images
// are made of (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
const headerSize = 110

// member is one entry of a cpio archive.
type member struct {
	name string
	end  int // offset behind it, padding included
}

var errDamaged = errors.New("the cpio archive is damaged")

// nextMember reads the entry at an offset.
func nextMember(data []byte, at int) (m member, err error) {
	if at+headerSize > len(data) || !bytes.HasPrefix(data[at:], []byte("07070")) {
		return m, errDamaged
	}
	field := func(i int) int {
		n, err := strconv.ParseUint(string(data[at+6+8*i:at+14+8*i]), 16, 31)
		if err != nil {
			return -1
		}
		return int(n)
	}
	size, nameSize := field(6), field(11)
	body := align(at + headerSize + nameSize)
	if size < 0 || nameSize < 1 || body < 0 || body+size > len(data) {
		return m, errDamaged
	}
	m.name = string(data[at+headerSize : at+headerSize+nameSize-1])
	m.end = min(align(body+size), len(data))
	return m, nil
}

func align(n int) int { return (n + 3) &^ 3 }

const trailer = "TRAILER!!!"

// mainSegment is where the last archive of an image begins. Archives before it, such as the one with
// early microcode, are never compressed.
func mainSegment(data []byte) int {
	start := 0
	for at := 0; ; {
		m, err := nextMember(data, at)
		if err != nil {
			return start
		}
		at = m.end
		if m.name != trailer {
			continue
		}
		for at < len(data) && data[at] == 0 {
			at++
		}
		if at == len(data) {
			return start
		}
		start = at
	}
}

// without returns an archive without the named members.
func without(data []byte, names []string) ([]byte, error) {
	var out []byte
	for at := 0; ; {
		m, err := nextMember(data, at)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, m.name) {
			out = append(out, data[at:m.end]...)
		}
		at = m.end
		if m.name == trailer {
			return append(out, data[at:]...), nil
		}
	}
}
