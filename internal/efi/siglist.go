package efi

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"io"
)

// GUID is one as it lies in memory: its first three parts are little-endian.
type GUID [16]byte

// Types of signature lists (UEFI specification, "Signature Database").
var (
	TypeX509 = GUID{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}
)

// Entry is a certificate or digest of a signature list.
type Entry struct {
	Type  GUID
	Owner GUID
	Data  []byte
}

const listHeader, ownerSize = 28, 16 // bytes

// errList is a text that is no signature list.
var errList = errors.New("it is no EFI signature list")

// ParseSignatureList reads EFI_SIGNATURE_LISTs, which follow each other.
func ParseSignatureList(data []byte) (list []Entry, err error) {
	for len(data) > 0 {
		if len(data) < listHeader {
			return nil, errList
		}
		u32 := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
		size, head, each := u32(16), u32(20), u32(24)
		if size < listHeader || size > len(data) || head < 0 || head > size-listHeader || each <= ownerSize {
			return nil, errList
		}
		kind, entries := GUID(data[:16]), data[listHeader+head:size]
		if len(entries)%each != 0 {
			return nil, errList
		}
		for ; len(entries) > 0; entries = entries[each:] {
			list = append(list, Entry{kind, GUID(entries[:ownerSize]), entries[ownerSize:each]})
		}
		data = data[size:]
	}
	return list, nil
}

// SignatureList writes entries, each as a list of its own, since those of certificates differ in size.
func SignatureList(entries ...Entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		b.Write(e.Type[:])
		each := uint32(ownerSize + len(e.Data))
		_ = binary.Write(&b, binary.LittleEndian, []uint32{listHeader + each, 0, each}) // to memory: it cannot fail
		b.Write(e.Owner[:])
		b.Write(e.Data)
	}
	return b.Bytes()
}

// VendorCertificates are the certificates, in DER, that a shim was built with: a table of two sizes and two offsets, and a
// certificate or a signature list (shim's cert.S).
func VendorCertificates(r io.ReaderAt) ([][]byte, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, err
	}
	s := f.Section(".vendor_cert")
	if s == nil || s.Size > maxSection {
		return nil, nil
	}
	data, err := s.Data()
	if err != nil || len(data) < 16 {
		return nil, err
	}
	size, at := uint64(binary.LittleEndian.Uint32(data)), uint64(binary.LittleEndian.Uint32(data[8:]))
	if size == 0 || at+size > uint64(len(data)) {
		return nil, nil
	}
	own := data[at : at+size]
	entries, err := ParseSignatureList(own)
	if err != nil {
		return [][]byte{own}, nil
	}
	var list [][]byte
	for _, e := range entries {
		if e.Type == TypeX509 {
			list = append(list, e.Data)
		}
	}
	return list, nil
}
