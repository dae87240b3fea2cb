package efi

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// File is an EFI program as Secure Boot sees it: what is signed of it, and its signatures (Microsoft's "Windows
// Authenticode Portable Executable Signature Format", and the UEFI specification, "UEFI Image Signing").
type File struct {
	r         io.ReaderAt
	size      int64 // of the file, in bytes
	checksum  int64 // where the header's checksum stands, which is not signed
	directory int64 // where the header says where the signatures are, which is not signed
	signed    int64 // end of what is signed; the signatures follow
	tableSize int64 // of the signatures, in bytes; 0 without
	gaps      bool  // between its sections, over which firmware and signing tools do not agree
}

// directories are the offsets, in the optional header, of the entry for signatures, by the header's magic number.
var directories = map[uint16]int64{0x10b: 96 + 4*8, 0x20b: 112 + 4*8}

const (
	peHeader       = 0x3c // where the offset of the PE header stands
	optionalHeader = 24   // from the PE header
	checksumAt     = 64   // in the optional header
	entryAlign     = 8    // of signatures, in bytes
)

// Open reads the headers of an EFI program of that size in bytes.
func Open(r io.ReaderAt, size int64) (*File, error) {
	parsed, err := pe.NewFile(r)
	if err != nil {
		return nil, errors.New("it is no EFI program")
	}
	f := &File{r: r, size: size}
	start, magic := make([]byte, 4), make([]byte, 2)
	if _, err := r.ReadAt(start, peHeader); err != nil {
		return nil, err
	}
	optional := int64(binary.LittleEndian.Uint32(start)) + optionalHeader
	if _, err := r.ReadAt(magic, optional); err != nil {
		return nil, err
	}
	at := directories[binary.LittleEndian.Uint16(magic)]
	if at == 0 {
		return nil, errors.New("it has no header of an EFI program")
	}
	f.checksum, f.directory = optional+checksumAt, optional+at
	if err := f.findTable(); err != nil {
		return nil, err
	}
	return f, f.compareSections(parsed)
}

// findTable finds the signatures, which stand at the file's end.
func (f *File) findTable() error {
	entry := make([]byte, 8)
	if _, err := f.r.ReadAt(entry, f.directory); err != nil {
		return errors.New("its header is cut off")
	}
	at, size := int64(binary.LittleEndian.Uint32(entry)), int64(binary.LittleEndian.Uint32(entry[4:]))
	f.signed = f.size
	if size == 0 {
		return nil
	}
	if at < f.directory+8 || at%entryAlign != 0 || at+size != f.size {
		return fmt.Errorf("its table of signatures, %d bytes from byte %d, is not the end of the file, which has %d bytes", size, at, f.size)
	}
	f.signed, f.tableSize = at, size
	return nil
}

// compareSections tells whether what the specification hashes, headers and sections in the order of the file and then
// what is behind them, is the file from begin to end. Signing tools and firmware differ where it is not.
func (f *File) compareSections(parsed *pe.File) error {
	var end int64
	switch h := parsed.OptionalHeader.(type) {
	case *pe.OptionalHeader32:
		end = int64(h.SizeOfHeaders)
	case *pe.OptionalHeader64:
		end = int64(h.SizeOfHeaders)
	}
	sections := slices.Clone(parsed.Sections)
	slices.SortStableFunc(sections, func(a, b *pe.Section) int { return int(int64(a.Offset) - int64(b.Offset)) })
	for _, s := range sections {
		if s.Size == 0 {
			continue
		}
		f.gaps = f.gaps || int64(s.Offset) != end
		end = int64(s.Offset) + int64(s.Size)
	}
	if end > f.signed {
		return fmt.Errorf("its sections end at byte %d, but the file has only %d bytes for them", end, f.signed)
	}
	return nil
}

// Ambiguous tells whether firmware and signing tools may compute different digests of the program, since there are
// gaps between its sections.
func (f *File) Ambiguous() bool { return f.gaps }

// Digest is the SHA-256 that is signed.
func (f *File) Digest() ([32]byte, error) {
	h := sha256.New()
	from := int64(0)
	for _, skip := range [][2]int64{{f.checksum, 4}, {f.directory, 8}, {f.signed, 0}} {
		if _, err := io.Copy(h, io.NewSectionReader(f.r, from, skip[0]-from)); err != nil {
			return [32]byte{}, err
		}
		from = skip[0] + skip[1]
	}
	h.Write(make([]byte, padding(f.signed)))
	return [32]byte(h.Sum(nil)), nil
}

// padding is what lies between so many bytes and what must stand at a multiple of 8.
func padding(n int64) int64 { return -n & (entryAlign - 1) }

// WIN_CERTIFICATE of the UEFI specification: its length with this header, a revision, a type.
const (
	certificateHeader = 8
	revision          = 0x0200
	typePKCS7         = 0x0002 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

// maxTable bounds what is read of signatures. The largest in the field have some ten kilobytes.
const maxTable = 1 << 20

// Signatures are the signatures of the program, each as PKCS #7 signed data in DER.
func (f *File) Signatures() (list [][]byte, err error) {
	if f.tableSize == 0 {
		return nil, nil
	}
	if f.tableSize > maxTable {
		return nil, fmt.Errorf("its table of signatures has %d bytes", f.tableSize)
	}
	table := make([]byte, f.tableSize)
	if _, err := f.r.ReadAt(table, f.signed); err != nil {
		return nil, err
	}
	for len(table) > 0 {
		if len(table) < certificateHeader {
			return nil, errors.New("its table of signatures is cut off")
		}
		size := int64(binary.LittleEndian.Uint32(table))
		if size < certificateHeader || size > int64(len(table)) {
			return nil, errors.New("its table of signatures is damaged")
		}
		if binary.LittleEndian.Uint16(table[6:]) == typePKCS7 {
			list = append(list, table[certificateHeader:size])
		}
		table = table[min(size+padding(size), int64(len(table))):]
	}
	return list, nil
}

// WithSignatures is the program with these signatures, and no others, as a new file. The checksum in the header, which
// no firmware looks at, is that of the new file.
func (f *File) WithSignatures(list ...[]byte) io.Reader {
	table := tableOf(list)
	entry := make([]byte, 8)
	if len(table) > 0 {
		binary.LittleEndian.PutUint32(entry, uint32(f.signed+padding(f.signed)))
		binary.LittleEndian.PutUint32(entry[4:], uint32(len(table)))
	}
	part := func(from, to int64) io.Reader { return io.NewSectionReader(f.r, from, to-from) }
	whole := func(sum []byte) io.Reader {
		parts := []io.Reader{part(0, f.checksum), bytes.NewReader(sum), part(f.checksum+4, f.directory), bytes.NewReader(entry), part(f.directory+8, f.signed)}
		if len(table) > 0 {
			parts = append(parts, bytes.NewReader(make([]byte, padding(f.signed))), bytes.NewReader(table))
		}
		return io.MultiReader(parts...)
	}
	return &checksummed{whole: whole}
}

func tableOf(list [][]byte) (table []byte) {
	for _, der := range list {
		table = binary.LittleEndian.AppendUint32(table, uint32(certificateHeader+len(der)))
		table = binary.LittleEndian.AppendUint16(table, revision)
		table = binary.LittleEndian.AppendUint16(table, typePKCS7)
		table = append(table, der...)
		table = append(table, make([]byte, padding(int64(len(table))))...)
	}
	return table
}

// checksummed reads a file twice, first for the checksum that stands in it.
type checksummed struct {
	whole func(sum []byte) io.Reader
	now   io.Reader
}

func (c *checksummed) Read(p []byte) (int, error) {
	if c.now == nil {
		sum, err := checksum(c.whole(make([]byte, 4)))
		if err != nil {
			return 0, err
		}
		c.now = c.whole(binary.LittleEndian.AppendUint32(nil, sum))
	}
	return c.now.Read(p)
}

// checksum is that of a PE file whose own is zero: the 16-bit words, added with carry, and the size in bytes.
func checksum(r io.Reader) (uint32, error) {
	var sum, size uint64
	buffer := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(r, buffer)
		size += uint64(n)
		if n%2 == 1 {
			buffer[n] = 0
			n++
		}
		for i := 0; i < n; i += 2 {
			sum += uint64(binary.LittleEndian.Uint16(buffer[i:]))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint32(sum + size), nil
}
