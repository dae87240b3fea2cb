package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
)

// Object identifiers of Authenticode ("Windows Authenticode Portable Executable Signature Format") and of RFC 5754.
var (
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImage      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
	oidOpusInfo     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 12}
	oidSHA256       = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSA        = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// indirectData is SpcIndirectDataContent for a PE file.
type indirectData struct {
	Data   imageData
	Digest digestInfo
}

type imageData struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type digestInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// peImage is SpcPeImageData: no flags, and "<<<Obsolete>>>" in UTF-16 as the name of the file, as the format wants it.
var peImage = func() asn1.RawValue {
	text := []byte{}
	for _, c := range "<<<Obsolete>>>" {
		text = append(text, 0, byte(c))
	}
	wrap := func(tag byte, content []byte) []byte { return append([]byte{tag, byte(len(content))}, content...) }
	file := wrap(0xa0, wrap(0xa2, wrap(0x80, text)))
	return asn1.RawValue{FullBytes: wrap(0x30, append([]byte{0x03, 0x01, 0x00}, file...))}
}()

// SignPE is a signature of an EFI program with this digest, as PKCS #7 signed data in DER. Nothing in it depends on when
// it was made.
func (k *Key) SignPE(ctx context.Context, digest [32]byte, p Purpose) ([]byte, error) {
	p.Kind, p.Authenticode = ForPE, hex.EncodeToString(digest[:])
	b := pkcs7.NewBuilder(asked{ctx, k, p}, k.Chain, crypto.SHA256)
	content := indirectData{
		Data:   imageData{oidPEImage, peImage},
		Digest: digestInfo{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, digest[:]},
	}
	if err := b.SetContent(oidIndirectData, content); err != nil {
		return nil, err
	}
	if err := b.AddAuthenticatedAttribute(oidOpusInfo, struct{}{}); err != nil {
		return nil, err
	}
	signed, err := b.Sign()
	if err != nil {
		return nil, err
	}
	return k.marshal(signed)
}

// SignDetached is a signature of some content, which is not in it, without certificates and attributes, as the kernel
// wants it of dm-verity's root hashes.
func (k *Key) SignDetached(ctx context.Context, content []byte, p Purpose) ([]byte, error) {
	b := pkcs7.NewBuilder(asked{ctx, k, p}, k.Chain, crypto.SHA256)
	h := crypto.SHA256.New()
	h.Write(content)
	if err := b.SetDetachedContent(pkcs7.OidData, h.Sum(nil)); err != nil {
		return nil, err
	}
	signed, err := b.Sign()
	if err != nil {
		return nil, err
	}
	signed.Content.Certificates = nil
	return k.marshal(signed)
}

func (k *Key) marshal(signed *pkcs7.ContentInfoSignedData) ([]byte, error) {
	if k.algorithm() == ECDSA { // which the kernel does not take from the key's own identifier
		signed.Content.SignerInfos[0].DigestEncryptionAlgorithm = pkix.AlgorithmIdentifier{Algorithm: oidECDSA}
	}
	return signed.Marshal()
}

// Signature is a signature of an EFI program.
type Signature struct {
	Digest []byte              // that it says the program has
	Signer *x509.Certificate   // whose key made it
	Others []*x509.Certificate // that it brings
}

// ReadPE reads a signature of an EFI program and checks it, but for what program it is of.
func ReadPE(der []byte) (*Signature, error) {
	signed, err := pkcs7.Unmarshal(der)
	if err != nil {
		return nil, errors.New("it is no PKCS #7 signature")
	}
	var content indirectData
	if !signed.Content.ContentInfo.ContentType.Equal(oidIndirectData) {
		return nil, errors.New("it is no signature of a program")
	}
	if err := signed.Content.ContentInfo.Unmarshal(&content); err != nil {
		return nil, errors.New("it does not say the digest of what it signs")
	}
	s, err := signed.Content.Verify(nil, false)
	if err != nil {
		return nil, fmt.Errorf("it is not valid: %w", err)
	}
	return &Signature{content.Digest.Digest, s.Certificate, s.Intermediates}, nil
}

// CheckDetached checks a signature of some content that is not in it, by the key of a certificate.
func CheckDetached(der, content []byte, by *x509.Certificate) error {
	signed, err := pkcs7.Unmarshal(der)
	if err != nil {
		return errors.New("it is no PKCS #7 signature")
	}
	signed.Content.Certificates = pkcs7.RawCertificates{{FullBytes: by.Raw}}
	_, err = signed.Content.Verify(content, false)
	return err
}

// Reaches tells whether whoever trusts a certificate trusts the signature: it is that of the signer, or one that
// vouches for it. Firmware does not look at times and uses.
func (s *Signature) Reaches(trusted *x509.Certificate) bool {
	c := s.Signer
	for range len(s.Others) + 1 {
		if bytes.Equal(c.Raw, trusted.Raw) || vouches(trusted, c) {
			return true
		}
		next := c
		for _, o := range s.Others {
			if !bytes.Equal(o.Raw, c.Raw) && vouches(o, c) {
				next = o
			}
		}
		if next == c {
			return false
		}
		c = next
	}
	return false
}

func vouches(issuer, c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, issuer.RawSubject) && issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
