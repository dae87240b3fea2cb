package signing

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
)

// ParseCertificates reads certificates in PEM, or one in DER.
func ParseCertificates(data []byte) (list []*x509.Certificate, err error) {
	rest := data
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate in it cannot be read: %w", err)
		}
		list = append(list, c)
	}
	if len(list) > 0 {
		return list, nil
	}
	if c, err := x509.ParseCertificate(data); err == nil {
		return []*x509.Certificate{c}, nil
	}
	return nil, errors.New("there is no certificate in it: it must be in PEM (-----BEGIN CERTIFICATE-----) or DER")
}

// Errors of private keys.
var (
	ErrPassphrase      = errors.New("it is protected by a passphrase, and none is given")
	ErrWrongPassphrase = errors.New("its passphrase is another one")
)

// ParseKey reads a private key in PEM. An empty passphrase means none.
func ParseKey(data []byte, passphrase []byte) (Signer, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, errors.New("there is no private key in it: it must be in PEM (-----BEGIN PRIVATE KEY-----)")
		}
		switch b.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			return parseBlock(b, passphrase)
		}
	}
}

func parseBlock(b *pem.Block, passphrase []byte) (Signer, error) {
	der := b.Bytes
	if b.Headers["DEK-Info"] != "" {
		return nil, errors.New("it is encrypted as OpenSSL 0.9 did; write it anew with \"openssl pkcs8 -topk8\"")
	}
	if b.Type == "ENCRYPTED PRIVATE KEY" {
		if len(passphrase) == 0 {
			return nil, ErrPassphrase
		}
		key, err := pkcs8.ParsePKCS8PrivateKey(der, passphrase)
		if err != nil {
			return nil, ErrWrongPassphrase // or damaged, which looks the same
		}
		return asSigner(key)
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return asSigner(key)
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return asSigner(key)
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key in it is damaged, or of a kind that is not known")
	}
	return asSigner(key)
}

func asSigner(key any) (Signer, error) {
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of the kind %T cannot sign", key)
	}
	return inMemory{s}, nil
}

// inMemory is a private key that this process has.
type inMemory struct{ key crypto.Signer }

// Sign signs a digest. The signature depends on nothing but the digest (that of ECDSA as in RFC 6979).
func (m inMemory) Sign(_ context.Context, r Request) ([]byte, error) {
	return m.key.Sign(nil, r.Digest[:], crypto.SHA256)
}

// Fits tells whether a private key is the one of the certificate.
func (m inMemory) fits(c *x509.Certificate) bool {
	own, ok := m.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(c.PublicKey)
}

// errOtherKey is a key that the certificate is not of.
var errOtherKey = errors.New("the private key is not the one of the certificate")

// NewKey puts a key that this process has and its certificate together.
func NewKey(name string, chain []*x509.Certificate, signer Signer) (*Key, error) {
	m, ok := signer.(inMemory)
	if ok && !m.fits(chain[0]) {
		return nil, errOtherKey
	}
	if k, rsaKey := chain[0].PublicKey.(*rsa.PublicKey); rsaKey && k.N == nil {
		return nil, errors.New("the certificate has no usable key")
	}
	return &Key{name, chain, signer}, nil
}
