// Package signing makes and checks signatures of what boots an image. Whoever holds a private key is asked to sign
// digests of 32 bytes and nothing else, with what each is for, so that a file, a token and a program in a vault are the
// same to it; every answer is checked with the certificate before it is used.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// Purpose says what a digest is of, for people and for rules of whoever signs.
type Purpose struct {
	Kind         string `json:"kind"`                   // one of the kinds below
	Path         string `json:"path"`                   // of the file in the image
	SHA256       string `json:"sha256,omitempty"`       // of the file before it is signed, in hexadecimal
	Authenticode string `json:"authenticode,omitempty"` // digest of a program without its signatures, in hexadecimal
}

// The kinds of what is signed.
const (
	ForPE       = "pe"               // an EFI program
	ForRootHash = "verity-root-hash" // the root hash of a dm-verity device
	ForPCR      = "pcr-policy"       // a policy of TPM registers
	ForVariable = "efi-variable"     // a variable of UEFI firmware
)

// Request is a digest to sign.
type Request struct {
	Algorithm string // one of the algorithms below
	Digest    [32]byte
	For       Purpose
}

// Algorithms of signatures, all of a SHA-256 digest.
const (
	RSA   = "rsa-pkcs1v15-sha256"
	ECDSA = "ecdsa-sha256"
)

// Signer holds a private key, or knows who does. It is asked from several goroutines at once.
type Signer interface {
	Sign(ctx context.Context, r Request) (signature []byte, err error)
}

// Key is a key with its certificate.
type Key struct {
	Name   string              // in the config
	Chain  []*x509.Certificate // the certificate of the key first, then those that vouch for it
	Signer Signer
}

// Certificate is that of the key.
func (k *Key) Certificate() *x509.Certificate { return k.Chain[0] }

// Fingerprint is the SHA-256 of the certificate, in hexadecimal.
func (k *Key) Fingerprint() string { return fingerprint(k.Certificate()) }

func fingerprint(c *x509.Certificate) string {
	h := crypto.SHA256.New()
	h.Write(c.Raw)
	return hex.EncodeToString(h.Sum(nil))
}

// minRSA is the least size of an RSA key, in bits, that signatures with SHA-256 are worth something with.
const minRSA = 2048

// Check tells whether the certificate can be used at all; what is no more than worth a warning is returned besides.
func (k *Key) Check(now time.Time) (warnings []string, err error) {
	c := k.Certificate()
	switch pub := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < minRSA {
			return nil, fmt.Errorf("its key has only %d bits: make one of %d", n, minRSA)
		} else if n > minRSA {
			warnings = append(warnings, fmt.Sprintf("its RSA key has %d bits; there is firmware that knows %d only", n, minRSA))
		}
	case *ecdsa.PublicKey:
		warnings = append(warnings, "its key is one of ECDSA; there is firmware that knows RSA only")
	default:
		return nil, fmt.Errorf("its key is of a kind (%s) that nothing that boots can check: make an RSA key of %d bits", c.PublicKeyAlgorithm, minRSA)
	}
	switch {
	case now.After(c.NotAfter):
		warnings = append(warnings, fmt.Sprintf("it expired on %s; firmware does not look at that, but others do", c.NotAfter.UTC().Format(time.DateOnly)))
	case now.Before(c.NotBefore):
		warnings = append(warnings, fmt.Sprintf("it is valid from %s only", c.NotBefore.UTC().Format(time.DateOnly)))
	}
	return warnings, nil
}

// algorithm is how the key signs.
func (k *Key) algorithm() string {
	if _, ok := k.Certificate().PublicKey.(*ecdsa.PublicKey); ok {
		return ECDSA
	}
	return RSA
}

// errWrongKey is a signature by another key, or of something else.
var errWrongKey = errors.New("the signature is not one of this digest by the key of the certificate")

// sign has a digest signed and checks the answer.
func (k *Key) sign(ctx context.Context, digest [32]byte, p Purpose) ([]byte, error) {
	signature, err := k.Signer.Sign(ctx, Request{k.algorithm(), digest, p})
	if err != nil {
		return nil, fmt.Errorf("the key %s does not sign %s: %w", k.Name, p.Path, err)
	}
	if !verifies(k.Certificate().PublicKey, digest[:], signature) {
		return nil, fmt.Errorf("the key %s, asked to sign %s: %w", k.Name, p.Path, errWrongKey)
	}
	return signature, nil
}

// verifies tells whether a signature of a SHA-256 digest is one by a key.
func verifies(pub crypto.PublicKey, digest, signature []byte) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, digest, signature)
	}
	return false
}

// asked is a key as crypto.Signer, for one purpose.
type asked struct {
	ctx     context.Context
	key     *Key
	purpose Purpose
}

// Public is the key's other half.
func (a asked) Public() crypto.PublicKey { return a.key.Certificate().PublicKey }

// Sign has a digest signed.
func (a asked) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	if len(digest) != 32 {
		return nil, errors.New("only SHA-256 digests are signed")
	}
	return a.key.sign(a.ctx, [32]byte(digest), a.purpose)
}
