package signing

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
)

// Asker has a program signed whose bytes are in an open file. kind is what package chain calls it.
type Asker func(ctx context.Context, kind, path string, f *os.File) (der []byte, err error)

// Maker signs programs of an image for who has no key.
type Maker struct {
	Policy
	Ask     Asker
	Trusted []*x509.Certificate // whom the image trusts already

	Log func(text string, args ...any)
}

// own is the certificate of the key.
func (m *Maker) own() (*x509.Certificate, error) { return x509.ParseCertificate(m.Certificate) }

// Sign signs a program in a tree, if the policy wants it so. shown is its path in the image.
func (m *Maker) Sign(ctx context.Context, root *rootfs.Root, name, shown, kind string) (signed bool, err error) {
	f, err := root.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	p, v, err := m.decide(f)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", shown, err)
	case !v.Sign:
		m.Log("not signed: "+v.Why, "file", shown)
		return false, nil
	}
	der, err := m.Ask(ctx, kind, shown, f)
	if err != nil {
		return false, err
	}
	own, err := m.own()
	if err != nil {
		return false, err
	}
	with, err := p.Signed(v, der, own)
	if err != nil {
		return false, fmt.Errorf("%s: %w", shown, err)
	}
	if p.Stale > 0 {
		m.Log("a signature was taken away that is of other bytes than these", "file", shown, "signatures", p.Stale)
	}
	return true, root.CopyFrom(with, name, 0o644)
}

// Check says what keeps a program from being signed.
func (m *Maker) Check(f *os.File) error {
	_, _, err := m.decide(f)
	return err
}

func (m *Maker) decide(f *os.File) (*Program, Verdict, error) {
	own, err := m.own()
	if err != nil {
		return nil, Verdict{}, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, Verdict{}, err
	}
	p, err := ReadProgram(f, fi.Size())
	if err != nil {
		return nil, Verdict{}, err
	}
	v, err := p.Decide(m.Existing, own, m.Trusted)
	return p, v, err
}

// VendorsOf are the certificates that a shim was built with.
func VendorsOf(f *os.File) (list []*x509.Certificate) {
	ders, _ := efi.VendorCertificates(f)
	for _, der := range ders {
		if c, err := x509.ParseCertificate(der); err == nil { // what cannot be read vouches for nothing
			list = append(list, c)
		}
	}
	return list
}
