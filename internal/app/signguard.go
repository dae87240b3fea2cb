package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"slices"
	"sync"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/signing"
	"imagecustomizer/internal/tempfile"
	"imagecustomizer/internal/ui"
)

// guard answers the worker's questions for signatures. The worker may have been taken over by the image that it works
// on: so nothing is signed but what was announced before a program of the image ran, and what is signed is looked at
// here, in a copy that nobody else can write to.
type guard struct {
	programs *signing.Key // that signs programs; nil where none are signed
	kinds    []chain.Kind // of programs that may be signed
	given    *os.File     // where the worker puts what is to be signed
	dir      string       // for copies
	traces   [][]byte     // of private keys, which nothing that is published may have

	mu        sync.Mutex
	announced bool
	left      []job.Announced
	done      []signedObject
}

// signedObject is something that was signed.
type signedObject struct {
	Kind, Path  string
	Digest      string // that was signed, in hexadecimal
	Key         string // its name in the config
	Certificate string // subject
	Fingerprint string // SHA-256 of the certificate, in hexadecimal
}

// maxAnnounced bounds how many objects one run signs.
const maxAnnounced = 500

// Announce is told what will be asked for.
func (g *guard) Announce(list []job.Announced) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.announced {
		return errors.New("it is said twice what is to be signed")
	}
	g.announced = true
	total := 0
	for _, a := range list {
		if _, err := path.Match(a.Path, ""); err != nil || a.Count < 1 {
			return fmt.Errorf("%q is no announcement", a.Path)
		}
		if !slices.Contains(g.kinds, chain.Kind(a.Kind)) {
			return fmt.Errorf("the config does not ask for signatures of the kind %q", a.Kind)
		}
		total += a.Count
		slog.Debug("to be signed", "kind", a.Kind, "path", a.Path, "count", a.Count)
	}
	if total > maxAnnounced {
		return fmt.Errorf("%d objects are to be signed, which is more than %d", total, maxAnnounced)
	}
	g.left = list
	return nil
}

// take uses up an announcement.
func (g *guard) take(kind, name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.left {
		a := &g.left[i]
		if match, _ := path.Match(a.Path, name); a.Kind == kind && match && a.Count > 0 {
			a.Count--
			return nil
		}
	}
	return fmt.Errorf("a signature of %s (%s) was not announced, or was made already: it is refused", name, kind)
}

// Sign signs an object.
func (g *guard) Sign(ctx context.Context, a *job.Ask) ([]byte, error) {
	if err := g.take(a.Kind, a.Path); err != nil {
		return nil, err
	}
	file, err := g.copyOf(a)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	digest, err := g.look(file, a)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	sum, err := rootfs.SHA256(file)
	if err != nil {
		return nil, err
	}
	der, err := g.programs.SignPE(ctx, digest, signing.Purpose{Path: a.Path, SHA256: hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	g.note(g.programs, a.Kind, a.Path, digest)
	return der, nil
}

func (g *guard) note(k *signing.Key, kind, name string, digest [32]byte) {
	o := signedObject{kind, name, hex.EncodeToString(digest[:]), k.Name, k.Certificate().Subject.String(), k.Fingerprint()}
	slog.Info("signed", "file", o.Path, "kind", o.Kind, "digest", o.Digest, "key", o.Key, "certificate", o.Certificate, "fingerprint", o.Fingerprint)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = append(g.done, o)
}

// maxProgram is the largest program that is signed, in bytes: a kernel with an initramfs of 512 MiB.
const maxProgram = 640 << 20

// copyOf is what is to be signed, in a file that the worker does not have.
func (g *guard) copyOf(a *job.Ask) (*os.File, error) {
	if a.At < 0 || a.Size <= 0 || a.Size > maxProgram {
		return nil, fmt.Errorf("%s has %d bytes: no program is that large", a.Path, a.Size)
	}
	file, err := tempfile.Scratch(g.dir)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, io.NewSectionReader(g.given, a.At, a.Size))
	if err == nil && n != a.Size {
		err = fmt.Errorf("%s is cut off", a.Path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// look computes the digest of a program that is what it is said to be.
func (g *guard) look(file *os.File, a *job.Ask) (digest [32]byte, err error) {
	info, err := efi.Read(file)
	if err != nil {
		return digest, err
	}
	if is := chain.KindOf(info, a.Path); string(is) != a.Kind {
		return digest, fmt.Errorf("it is no %s but %s: it is not signed", a.Kind, is)
	}
	f, err := efi.Open(file, a.Size)
	if err != nil {
		return digest, err
	}
	return f.Digest()
}

// report says what was signed.
func (g *guard) report(screen *ui.UI) {
	if g == nil {
		return
	}
	for _, o := range g.done {
		screen.Note("signed %s (%s) with the key %s: %s", o.Path, o.Kind, o.Key, o.Certificate)
	}
}
