package diskformat

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// fixedVHD is a fixed VHD of size zero bytes with a footer by the specification.
func fixedVHD(size int64) []byte {
	var f footer
	copy(f.raw[:], footerCookie)
	copy(f.raw[atCreator:], "qem2")
	binary.BigEndian.PutUint64(f.raw[atCurrentSize:], uint64(size))
	binary.BigEndian.PutUint32(f.raw[atDiskType:], diskFixed)
	sign(f.raw[:])
	return append(make([]byte, size), f.raw[:]...)
}

// sign puts the right checksum into the footer that ends b.
func sign(b []byte) {
	f := footer{raw: [footerSize]byte(b[len(b)-footerSize:])}
	binary.BigEndian.PutUint32(b[len(b)-footerSize+atChecksum:], f.checksum())
}

func TestCheckFixedVHD(t *testing.T) {
	t.Parallel()
	const size = mib
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		err    string
	}{
		"whole":     {func(b []byte) []byte { return b }, ""},
		"cookie":    {func(b []byte) []byte { b[size] = 'C'; return b }, `it begins with "Conectix"`},
		"checksum":  {func(b []byte) []byte { b[size+100]++; return b }, "checksum"},
		"size":      {func(b []byte) []byte { b[size+atCurrentSize+7]++; sign(b); return b }, "says 1048577 bytes, the disk has 1048576"},
		"type":      {func(b []byte) []byte { b[size+atDiskType+3] = 3; sign(b); return b }, "disk type 3"},
		"creator":   {func(b []byte) []byte { copy(b[size+atCreator:], "qemu"); sign(b); return b }, `creator "qemu"`},
		"creator 2": {func(b []byte) []byte { copy(b[size+atCreator:], "vpc "); sign(b); return b }, `creator "vpc "`},
		"truncated": {func(b []byte) []byte { return b[:len(b)-1] }, "the file has 1049087 bytes"},
		"no footer": {func(b []byte) []byte { return b[:size] }, "the file has 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := c.damage(fixedVHD(size))
			err := checkFixedVHD(bytes.NewReader(b), sizes{file: int64(len(b)), disk: size})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

// The example's fields are those of a footer that qemu-img 7.2 wrote for a disk of 1049600 bytes.
func TestFooterChecksumIsQEMUs(t *testing.T) {
	t.Parallel()
	var f footer
	copy(f.raw[:], "conectix\x00\x00\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x32\x98\x3e\xe9qem2\x00\x05\x00\x03Wi2k"+
		"\x00\x00\x00\x00\x00\x10\x04\x00\x00\x00\x00\x00\x00\x10\x04\x00\xff\xff\x10\xff\x00\x00\x00\x03\xff\xff\xea\xcd"+
		"\xde\xf1\xe3\x4b\x90\xd0\x45\x0a\xbb\xca\xf8\xfd\x1c\x1c\xc6\xa9")
	if err := f.check(1049600, diskDynamic); err != nil {
		t.Error(err)
	}
}

func TestCheckMagicAndRaw(t *testing.T) {
	t.Parallel()
	if err := checkMagic("vhdxfile")(strings.NewReader("vhdxfile..."), sizes{}); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"vhdxfilE", "vhdx", ""} {
		if err := checkMagic("vhdxfile")(strings.NewReader(text), sizes{}); err == nil {
			t.Errorf("%q passes as VHDX", text)
		}
	}
	if err := checkRaw(nil, sizes{file: 512, disk: 1024}); err == nil {
		t.Error("a short raw file passes")
	}
}

func FuzzFooter(f *testing.F) {
	f.Add(fixedVHD(0))
	f.Add([]byte("conectix"))
	f.Fuzz(func(t *testing.T, b []byte) {
		foot, err := readFooter(bytes.NewReader(b), 0)
		if err == nil && foot.check(0, diskFixed) == nil && !bytes.HasPrefix(b, []byte(footerCookie)) {
			t.Error("a footer without its cookie passes")
		}
	})
}
