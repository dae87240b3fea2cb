package pkgmgr

import (
	"compress/bzip2"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Compressions are the forms of an index, the quickest to unpack first.
var Compressions = []struct {
	Suffix string
	Open   func(io.Reader) (io.Reader, error)
}{
	{".zst", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
	{".gz", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{".xz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
	{".bz2", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"", func(r io.Reader) (io.Reader, error) { return r, nil }},
}

// Unpacked reads what is in a file of that name.
func Unpacked(name string, r io.Reader) (io.Reader, error) {
	for _, form := range Compressions {
		if strings.HasSuffix(name, form.Suffix) {
			return form.Open(r)
		}
	}
	return r, nil
}
