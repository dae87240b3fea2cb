package efi

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"testing"

	"imagecustomizer/internal/efi/efitest"
)

// tiny is an EFI program with sections of these sizes, each behind a gap of so many bytes.
func tiny(gap int, sizes ...int) []byte {
	sections := map[string][]byte{}
	for i, n := range sizes {
		sections[".s"+strconv.Itoa(i)] = bytes.Repeat([]byte{byte(i + 1)}, n)
	}
	return efitest.WithGaps(gap, sections)
}

func open(t *testing.T, data []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSignaturesComeBack(t *testing.T) {
	t.Parallel()
	plain := append(tiny(0, 512, 1024), "behind the sections"...)
	f := open(t, plain)
	if f.Ambiguous() {
		t.Error("there are no gaps")
	}
	before, err := f.Digest()
	if err != nil {
		t.Fatal(err)
	}
	list := [][]byte{[]byte("one signature"), []byte("and another of 29 bytes ......")}
	signed, err := io.ReadAll(f.WithSignatures(list...))
	if err != nil {
		t.Fatal(err)
	}
	g := open(t, signed)
	got, err := g.Signatures()
	if err != nil || len(got) != 2 || string(got[0]) != string(list[0]) || string(got[1]) != string(list[1]) {
		t.Errorf("got %q, %v", got, err)
	}
	if after, _ := g.Digest(); after != before {
		t.Error("signatures change the digest")
	}
	// Without signatures again, it is as it was, but for the bytes up to a multiple of 8 and the checksum.
	bare, err := io.ReadAll(g.WithSignatures())
	if err != nil || !bytes.HasPrefix(bare[0x200:], plain[0x200:]) || len(bare)-len(plain) > 7 {
		t.Errorf("%d bytes, at first %d: %v", len(bare), len(plain), err)
	}
}

func TestChangedProgramsHaveAnotherDigest(t *testing.T) {
	t.Parallel()
	data := tiny(0, 512)
	want, _ := open(t, data).Digest()
	f := open(t, data)
	for at := range data {
		changed := bytes.Clone(data)
		changed[at] ^= 1
		g, err := Open(bytes.NewReader(changed), int64(len(changed)))
		if err != nil {
			continue
		}
		got, err := g.Digest()
		in := func(from, n int64) bool { return int64(at) >= from && int64(at) < from+n }
		if free := in(f.checksum, 4) || in(f.directory, 8); err != nil || free != (got == want) {
			t.Errorf("byte %#x: %v", at, err)
		}
	}
}

func TestGapsAreSeen(t *testing.T) {
	t.Parallel()
	if !open(t, tiny(16, 512, 512)).Ambiguous() {
		t.Error("gaps between sections are not seen")
	}
}

func TestDamagedPrograms(t *testing.T) {
	t.Parallel()
	good := tiny(0, 512)
	entry := func(at, size uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[0x40+24+144:], at)
		binary.LittleEndian.PutUint32(b[0x40+24+148:], size)
		return b
	}
	for name, x := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                 {nil, "no EFI program"},
		"text":                    {[]byte(strings.Repeat("text ", 200)), "no EFI program"},
		"cut off":                 {good[:0x500], "its sections end"},
		"table before its end":    {entry(0x400, 8), "is not the end of the file"},
		"table behind its end":    {entry(uint32(len(good)), 800), "is not the end of the file"},
		"table over the headers":  {entry(8, uint32(len(good)-8)), "is not the end of the file"},
		"table that wraps around": {entry(0xfffffff8, uint32(len(good)+8)), "is not the end of the file"},
	} {
		if _, err := Open(bytes.NewReader(x.data), int64(len(x.data))); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", name, err, x.want)
		}
	}
}

func FuzzPrograms(f *testing.F) {
	f.Add(tiny(0, 512))
	f.Add(tiny(16, 512, 1024))
	signed, _ := io.ReadAll(mustOpen(tiny(0, 512)).WithSignatures([]byte("a signature")))
	f.Add(signed)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Read(bytes.NewReader(data))
		_, _, _ = ReadLevels(bytes.NewReader(data))
		_, _ = VendorCertificates(bytes.NewReader(data))
		p, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		before, err := p.Digest()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.Signatures()
		again, err := io.ReadAll(p.WithSignatures([]byte("a signature of ours")))
		if err != nil {
			t.Fatal(err)
		}
		q, err := Open(bytes.NewReader(again), int64(len(again)))
		if err != nil {
			t.Fatalf("what was signed is no program any more: %v", err)
		}
		if after, err := q.Digest(); err != nil || after != before {
			t.Fatalf("signing changes the digest (%v)", err)
		}
		if got, err := q.Signatures(); err != nil || len(got) != 1 {
			t.Fatalf("%d signatures, %v", len(got), err)
		}
	})
}

func mustOpen(data []byte) *File {
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic(err)
	}
	return f
}

func TestSignatureLists(t *testing.T) {
	t.Parallel()
	entries := []Entry{{TypeX509, GUID{1}, []byte("a certificate")}, {TypeX509, GUID{2}, []byte("a longer certificate")}}
	data := SignatureList(entries...)
	got, err := ParseSignatureList(data)
	if err != nil || len(got) != 2 || string(got[1].Data) != "a longer certificate" || got[0].Owner != (GUID{1}) {
		t.Errorf("got %v, %v", got, err)
	}
	for n := range data {
		if _, err := ParseSignatureList(data[:n]); err == nil && n > 0 && n != listHeader+16+len("a certificate") {
			t.Errorf("%d of %d bytes are a list", n, len(data))
		}
	}
}

func FuzzSignatureLists(f *testing.F) {
	f.Add(SignatureList(Entry{TypeX509, GUID{1}, []byte("a certificate")}))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = ParseSignatureList(data) })
}

func TestRevocations(t *testing.T) {
	t.Parallel()
	l := parseLevel("sbat,1,2025021800\nshim,4\ngrub,5\n")
	for text, want := range map[string]string{
		"sbat,1,SBAT Version,sbat,1,url\ngrub,5,FSF,grub,2.06,url\n":                              "",
		"sbat,1,SBAT Version,sbat,1,url\ngrub,4,FSF,grub,2.06,url\n":                              "its component grub is of generation 4, and shim starts those from 5 on (revocations of 2025021800)",
		"sbat,1,SBAT Version,sbat,1,url\ngrub.debian,1,Debian,grub2,2.06,url\ngrub,x,FSF,g,1,u\n": "its component grub is of generation x",
		"sbat,1,SBAT Version,sbat,1,url\nsystemd,1,systemd,systemd,257,url\n":                     "",
		"": "has no section .sbat",
	} {
		got := l.Revokes(&Program{SBAT: parseSBAT(text)})
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if (*Level)(nil).Revokes(&Program{}) != "" {
		t.Error("without a shim nothing is revoked")
	}
}
