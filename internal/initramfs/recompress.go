package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/tempfile"
)

// recompress rewrites one image in /boot.
func recompress(ctx context.Context, m *machine.Machine, name, target string, leaveOut []string) error {
	image, err := m.Root.Open(name, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	return recompressFile(ctx, m, image, target, leaveOut)
}

// recompressFile rewrites one image: early segments as they are, then the rest in the target format.
// The stages run side by side, so that no archive is ever held in memory; the result is gathered in a
// file of the scratch folder.
func recompressFile(ctx context.Context, m *machine.Machine, image *os.File, target string, leaveOut []string) error {
	scratch, err := m.Scratch()
	if err != nil {
		return err
	}
	packed, err := tempfile.Scratch(scratch)
	if err != nil {
		return err
	}
	defer packed.Close()
	start, format, err := mainFormat(image, nil)
	if err != nil {
		return err
	}
	end, err := image.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	main := io.NewSectionReader(image, start, end-start)
	unpacked := stage(main, func(dst io.Writer, src io.Reader) error { return decompress(ctx, m, format, dst, src) })
	defer unpacked.Close()
	kept := stage(&bounded{unpacked, maxUnpacked}, func(dst io.Writer, src io.Reader) error { return copyWithout(dst, src, leaveOut) })
	defer kept.Close()
	if err := compress(ctx, m, target, packed, kept); err != nil {
		return err
	}
	return replaceTail(image, start, packed)
}

// stage runs f in the background and returns what it writes; its error is what reading ends with.
// Closing ends f early.
func stage(src io.Reader, f func(dst io.Writer, src io.Reader) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(f(w, src)) }()
	return r
}

// replaceTail puts the content of another file behind the first bytes of a file.
func replaceTail(f *os.File, at int64, tail *os.File) error {
	if _, err := tail.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(f, tail)
	return err
}

// programFormats maps what configurations name to formats.
var programFormats = map[string]string{
	"gzip": "gzip", "pigz": "gzip", "zstd": "zstd", "xz": "xz", "lz4": "lz4", "lzma": "lzma", "bzip2": "bzip2",
	"lbzip2": "bzip2", "lzop": "lzop", "cat": plain,
}

// plain is the format of an image that is not compressed.
const plain = "cat"

// formatOf tells the format of the image of that name.
func formatOf(root *rootfs.Root, name string) (string, error) {
	f, err := root.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, format, err := mainFormat(f, nil)
	return format, err
}

// mainFormat tells where the main archive of an image begins, and its format. It calls each for the members
// of archives before it.
func mainFormat(image *os.File, each func(member)) (start int64, format string, err error) {
	fi, err := image.Stat()
	if err != nil {
		return 0, "", err
	}
	if fi.Size() > maxPacked {
		return 0, "", fmt.Errorf("it has more than the %d MiB that an initramfs may have", maxPacked>>20)
	}
	start = mainSegment(image, fi.Size(), each)
	head := make([]byte, 8)
	n, err := image.ReadAt(head, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	format, err = detect(head[:n])
	return start, format, err
}

// detect tells a format by its first bytes, as the kernel does (lib/decompress.c).
func detect(data []byte) (string, error) {
	for _, f := range []struct{ magic, name string }{
		{"\x1f\x8b", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\xfd7zXZ", "xz"},
		{"\x02\x21\x4c\x18", "lz4"},
		{"\x5d\x00\x00", "lzma"},
		{"BZh", "bzip2"},
		{"\x89LZO", "lzop"},
		{"070701", plain},
		{"070702", plain},
	} {
		if strings.HasPrefix(string(data), f.magic) {
			return f.name, nil
		}
	}
	return "", errors.New("this is no initramfs that the kernel could read")
}
