package verify

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"slices"

	"imagecustomizer/internal/boot"
)

// initramfsMagic are the beginnings of an initramfs: a cpio archive, in the compressions of the
// kernel (its lib/decompress.c), or microcode before it.
var initramfsMagic = [][]byte{
	[]byte("070701"), []byte("070702"),
	{0x1f, 0x8b},
	[]byte("BZh"),
	{0x5d, 0, 0},
	{0xfd, '7', 'z', 'X', 'Z', 0},
	{0x89, 'L', 'Z', 'O', 0},
	{0x02, 0x21, 0x4c, 0x18},
	{0x28, 0xb5, 0x2f, 0xfd},
}

// kernels checks that every installed kernel has its modules, an initramfs and a boot entry, and
// that these are what they should be.
func kernels(s *system, found *list) {
	if len(s.kernels) == 0 && s.scheme.Kind != boot.UKI {
		found.at("/boot", 0, "there is no kernel (vmlinuz-VERSION)")
	}
	for _, k := range s.kernels {
		if !s.more(lookup) {
			return
		}
		s.kernelFiles(found, k)
		if !s.booted(k) {
			// A hand-written menu boots one kernel, whichever its variables name.
			found.add(Finding{File: k.Image, Text: "no boot entry loads this kernel", Warning: s.scheme.Kind == boot.Legacy})
		}
	}
	for _, e := range s.menu.Entries {
		for _, r := range e.Initrds {
			if !s.more(1) {
				return
			}
			if file, err := s.find(r); err == nil && r.Place != e.Kernel.Place { // not one unified with its kernel
				s.initramfs(found, file)
			}
		}
	}
}

func (s *system) kernelFiles(found *list, k boot.Kernel) {
	if size := len(s.head(k.Image)); size < headSize {
		found.at(k.Image, 0, "the kernel is only %d bytes long", size)
	}
	switch {
	case k.Modules == "":
		found.at(k.Image, 0, "the modules of this kernel are missing: there is no /lib/modules/%s, or it is empty", k.Version)
	case !s.Root.Exists(path.Join(k.Modules, "modules.dep")):
		found.at(k.Modules, 0, "there is no modules.dep: the kernel finds none of its modules")
		found.hint("depmod %s makes it", k.Version)
	}
	entries := s.entriesOf(k)
	if k.Initramfs == "" {
		if slices.ContainsFunc(entries, func(e boot.Entry) bool { return len(e.Initrds) > 0 }) {
			return // it is where the boot loader reads it, or one with its kernel
		}
		// Not wrong where its entries load none and need none: see arguments.
		found.add(Finding{File: k.Image, Text: "this kernel has no initramfs", Warning: s.bootsWithout(k)})
		return
	}
	s.initramfs(found, k.Initramfs)
	s.copyOf(found, k.Initramfs, entries)
}

// copyOf warns where a boot loader that reads copies loads another initramfs than the one in /boot.
func (s *system) copyOf(found *list, initramfs string, entries []boot.Entry) {
	for _, e := range entries {
		for _, r := range e.Initrds {
			file, err := s.find(r)
			if err == nil && path.Base(file) == path.Base(initramfs) && !s.sameFile(file, initramfs) {
				found.add(Finding{
					File: file, Text: "is another initramfs than " + initramfs + ", of which the boot loader should have a copy",
					Warning: true, Lags: true,
				})
			}
		}
	}
}

// entriesOf are the boot entries of a kernel, or of a copy of it where the boot loader reads it.
func (s *system) entriesOf(k boot.Kernel) []boot.Entry {
	entries := s.sealedIn[k.Version]
	for _, e := range s.menu.Entries {
		if file, err := s.find(e.Kernel); err == nil && s.sameFile(file, k.Image) {
			entries = append(entries, e)
		}
	}
	return entries
}

func (s *system) booted(k boot.Kernel) bool {
	return len(s.menu.Entries) == 0 || len(s.entriesOf(k)) > 0
}

func (s *system) bootsWithout(k boot.Kernel) bool {
	entries := s.entriesOf(k)
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e boot.Entry) bool {
		return slices.ContainsFunc(e.Args(), func(a string) bool { return len(a) > 5 && a[:5] == "root=" && !kernelFinds(a[5:]) })
	})
}

// sameFile tells whether two paths lead to the same file, as where one is a link to the other, or to files of the
// same content on two filesystems, as where a boot loader has copies on the one that it reads.
func (s *system) sameFile(a, b string) bool {
	if a == b {
		return true
	}
	if !s.more(2 * lookup) {
		return false
	}
	x, errX := s.Root.Stat(a)
	y, errY := s.Root.Stat(b)
	switch {
	case errX != nil || errY != nil || x.Size() != y.Size():
		return false
	case os.SameFile(x, y):
		return true
	case s.mountOf(a).Path == s.mountOf(b).Path:
		return false
	}
	pair := [2][2]uint64{inode(x), inode(y)}
	same, compared := s.copies[pair]
	if !compared && s.moreBytes(x.Size()) {
		same = s.sameContent(a, b)
		s.copies[pair] = same
	}
	return same
}

func (s *system) sameContent(a, b string) bool {
	f, err := s.Root.Open(a, 0, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return s.sameBytes(f, b)
}

// sameBytes tells whether a file has just what r has.
func (s *system) sameBytes(r io.Reader, name string) bool {
	f, err := s.Root.Open(name, 0, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	const chunk = 1 << 20
	x, y := make([]byte, chunk), make([]byte, chunk)
	for {
		n, errX := io.ReadFull(r, x)
		m, errY := io.ReadFull(f, y)
		switch {
		case n != m || !bytes.Equal(x[:n], y[:m]):
			return false
		case errX != nil || errY != nil:
			return errors.Is(errX, io.EOF) || errors.Is(errX, io.ErrUnexpectedEOF)
		}
	}
}

// initramfs checks that a file begins like one.
func (s *system) initramfs(found *list, file string) {
	head := s.head(file)
	if !slices.ContainsFunc(initramfsMagic, func(m []byte) bool { return bytes.HasPrefix(head, m) }) {
		found.at(file, 0, "is no initramfs: it begins with %q", head[:min(len(head), 8)])
	}
}

const headSize = 4096

// head is the beginning of a file.
func (s *system) head(name string) []byte {
	f, err := s.Root.Open(name, 0, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, _ := io.ReadFull(f, head)
	return head[:n]
}
