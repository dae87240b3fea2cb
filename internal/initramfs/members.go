package initramfs

import (
	"context"
	"io"
	"os"
	"path"
)

// Members lists the files of an initramfs image by their paths, without a leading slash. It starts no program of an
// image, so that one packed in a format which takes a program cannot be listed: false.
func Members(ctx context.Context, image *os.File) (names map[string]bool, ok bool) {
	names = map[string]bool{}
	note := func(e member) { names[path.Clean(e.name)] = true }
	start, format, err := mainFormat(image, note)
	if err != nil || programs[format].unpack != nil {
		return nil, false
	}
	fi, err := image.Stat()
	if err != nil {
		return nil, false
	}
	packed := io.NewSectionReader(image, start, fi.Size()-start)
	unpacked := stage(packed, func(dst io.Writer, src io.Reader) error { return decompress(ctx, nil, format, dst, src) })
	defer unpacked.Close()
	_, err = walk(io.LimitReader(unpacked, maxPlain), note)
	return names, err == nil
}
