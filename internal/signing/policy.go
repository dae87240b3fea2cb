package signing

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"imagecustomizer/internal/efi"
)

// Policy is what is to be signed for Secure Boot, as far as one needs to know it who has no key.
type Policy struct {
	Kinds       []string // of programs, as package chain names them; empty for the usual ones
	Certificate []byte   // of the key that signs, in DER
	Existing    Existing
	IgnoreSBAT  bool
}

// Existing says what becomes of signatures that are there.
type Existing string

// What becomes of signatures.
const (
	Trusted Existing = ""        // what somebody vouches for whom the image trusts stays as it is; all else gets one more
	Keep    Existing = "keep"    // what has a valid signature stays as it is
	Add     Existing = "add"     // they stay, and there is one more
	Replace Existing = "replace" // they go
)

// Program is an EFI program with its signatures.
type Program struct {
	*efi.File
	Digest [32]byte
	Valid  []*Signature // that are of these bytes
	raw    [][]byte     // the same, in DER
	Stale  int          // signatures that are of other bytes, or damaged
}

// ReadProgram reads a program of that size in bytes, and checks its signatures.
func ReadProgram(r io.ReaderAt, size int64) (*Program, error) {
	f, err := efi.Open(r, size)
	if err != nil {
		return nil, err
	}
	p := &Program{File: f}
	if p.Digest, err = f.Digest(); err != nil {
		return nil, err
	}
	list, err := f.Signatures()
	if err != nil {
		return nil, err
	}
	for _, der := range list {
		s, err := ReadPE(der)
		if err != nil || string(s.Digest) != string(p.Digest[:]) {
			p.Stale++
			continue
		}
		p.Valid, p.raw = append(p.Valid, s), append(p.raw, der)
	}
	return p, nil
}

// ReachesAny tells whether a signature of the program is one that somebody trusts who trusts these certificates.
func (p *Program) ReachesAny(trusted []*x509.Certificate) *x509.Certificate {
	for _, s := range p.Valid {
		for _, t := range trusted {
			if s.Reaches(t) {
				return t
			}
		}
	}
	return nil
}

// Verdict is what is done about a program.
type Verdict struct {
	Sign bool
	Why  string   // it is not signed
	With [][]byte // signatures that stay
}

// errAmbiguous is a program of which firmware and signing tools may compute different digests.
var errAmbiguous = errors.New("there are gaps between its sections, over which firmware and signing tools do not agree: it would be signed, and not start; build it with other tools, such as a newer systemd")

// Decide decides what is done about a program. trusted are those whom the image trusts already.
func (p *Program) Decide(e Existing, own *x509.Certificate, trusted []*x509.Certificate) (Verdict, error) {
	if p.ReachesAny([]*x509.Certificate{own}) != nil && !(e == Replace && len(p.Valid)+p.Stale > 1) {
		return Verdict{Why: "it is signed by the key already"}, nil
	}
	if e == Trusted {
		if by := p.ReachesAny(trusted); by != nil {
			return Verdict{Why: fmt.Sprintf("%s vouches for it", by.Subject.CommonName)}, nil
		}
	}
	if e == Keep && len(p.Valid) > 0 {
		return Verdict{Why: fmt.Sprintf("it is signed by %s", p.Valid[0].Signer.Subject.CommonName)}, nil
	}
	if p.Ambiguous() {
		return Verdict{}, errAmbiguous
	}
	if e == Replace {
		return Verdict{Sign: true}, nil
	}
	return Verdict{Sign: true, With: p.raw}, nil
}

// Signed is the program with one more signature, which is checked first.
func (p *Program) Signed(v Verdict, der []byte, by *x509.Certificate) (io.Reader, error) {
	s, err := ReadPE(der)
	if err != nil {
		return nil, err
	}
	if string(s.Digest) != string(p.Digest[:]) || !s.Signer.Equal(by) {
		return nil, errWrongKey
	}
	return p.WithSignatures(append(v.With[:len(v.With):len(v.With)], der)...), nil
}
