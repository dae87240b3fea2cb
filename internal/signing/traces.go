package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
)

// Certificate is a certificate.
type Certificate = x509.Certificate

// traceSize is how much of a private key is looked for, in bytes: enough that nothing else is like it by chance.
const traceSize = 24

// Traces are pieces of a private key, as its file and as other encodings have it, by which a copy of it is found.
func Traces(file []byte, signer Signer) (list [][]byte) {
	add := func(b []byte) {
		if len(b) >= traceSize {
			from := (len(b) - traceSize) / 2
			list = append(list, bytes.Clone(b[from:from+traceSize]))
		}
	}
	for rest := file; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			continue
		}
		lines := bytes.Split(bytes.TrimSpace(pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: b.Bytes})), []byte("\n"))
		add(lines[len(lines)/2])
		add(b.Bytes)
	}
	m, ok := signer.(inMemory)
	if !ok {
		return list
	}
	switch k := m.key.(type) {
	case *rsa.PrivateKey:
		add(k.D.Bytes())
		for _, p := range k.Primes {
			add(p.Bytes())
		}
	case *ecdsa.PrivateKey:
		if raw, err := k.Bytes(); err == nil {
			list = append(list, raw) // all of it: it is short
		}
	}
	return list
}
