// Package seed is the one source of the random values that a run puts into an image: identifiers and
// salts. They are drawn by name while planning, so that one more of them changes no other.
package seed

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"
)

// Seed determines all random values of a run.
type Seed [sha256.Size]byte

// New makes a seed of a text that the user gave, or of randomness where it is empty.
func New(text string) (s Seed) {
	if text != "" {
		return sha256.Sum256([]byte(text))
	}
	_, _ = rand.Read(s[:]) // never fails (crypto/rand)
	return s
}

// Bytes draws n random bytes, at most 8160, for what has this name.
func (s Seed) Bytes(name string, n int) []byte {
	b, err := hkdf.Expand(sha256.New, s[:], name, n)
	if err != nil {
		panic(fmt.Sprintf("seed: %d bytes for %s: %v", n, name, err)) // longer than any identifier
	}
	return b
}

// UUID draws a random (version 4) UUID for what has this name.
func (s Seed) UUID(name string) string {
	id := uuid.UUID(s.Bytes(name, len(uuid.UUID{})))
	id[6] = id[6]&0x0f | 0x40 // version and variant, RFC 9562 section 5.4
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// Text draws n characters of an alphabet of 64 for what has this name.
func (s Seed) Text(name string, n int, alphabet string) string {
	b := s.Bytes(name, n)
	for i := range b {
		b[i] = alphabet[b[i]%64]
	}
	return string(b)
}
