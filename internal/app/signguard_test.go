package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/efi/efitest"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/signing"
)

// testKey is a key of this process.
func testKey(t *testing.T) *signing.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signing.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	k, err := signing.NewKey("db", []*x509.Certificate{c}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// systemdBoot is a program that is systemd-boot as far as that is looked at.
func systemdBoot() []byte {
	return efitest.Program(map[string][]byte{".sdmagic": []byte("#### LoaderInfo: systemd-boot 257 ####\x00"), ".text": bytes.Repeat([]byte{0x90}, 600)})
}

func testGuard(t *testing.T, content []byte, list ...job.Announced) *guard {
	t.Helper()
	dir := t.TempDir()
	given, err := os.Create(filepath.Join(dir, "given"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { given.Close() })
	if _, err := given.Write(content); err != nil {
		t.Fatal(err)
	}
	g := &guard{programs: testKey(t), kinds: []chain.Kind{chain.Loader}, given: given, dir: dir}
	if err := g.Announce(list); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGuardSignsWhatWasAnnounced: once for each time, and nothing else. What the worker asks may come from a hostile image.
func TestGuardSignsWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	program := systemdBoot()
	loader := job.Announced{Kind: "bootloader", Path: "EFI/*/*", Count: 2}
	ask := func(kind, name string, at, size int64) *job.Ask {
		return &job.Ask{Kind: kind, Path: name, At: at, Size: size}
	}
	whole := int64(len(program))
	for name, x := range map[string]struct {
		content []byte
		ask     []*job.Ask
		want    string // of the last answer; empty for a signature
	}{
		"announced":          {program, []*job.Ask{ask("bootloader", "EFI/BOOT/BOOTX64.EFI", 0, whole)}, ""},
		"twice":              {program, []*job.Ask{ask("bootloader", "EFI/a/b", 0, whole), ask("bootloader", "EFI/a/b", 0, whole)}, ""},
		"once too often":     {program, []*job.Ask{ask("bootloader", "EFI/a/b", 0, whole), ask("bootloader", "EFI/a/b", 0, whole), ask("bootloader", "EFI/a/b", 0, whole)}, "was not announced"},
		"another path":       {program, []*job.Ask{ask("bootloader", "boot/vmlinuz", 0, whole)}, "was not announced"},
		"another kind":       {program, []*job.Ask{ask("kernel", "EFI/a/b", 0, whole)}, "was not announced"},
		"no program":         {[]byte("#!/bin/sh\n"), []*job.Ask{ask("bootloader", "EFI/a/b", 0, 10)}, "it is no EFI program"},
		"other than it says": {efitest.Program(map[string][]byte{".text": []byte("x")}), []*job.Ask{ask("bootloader", "EFI/a/b", 0, whole)}, "cut off"},
		"unknown":            {efitest.Program(map[string][]byte{".text": make([]byte, 4000)}), []*job.Ask{ask("bootloader", "EFI/a/b", 0, 1024+4096)}, "it is no bootloader but unknown"},
		"more than there is": {program, []*job.Ask{ask("bootloader", "EFI/a/b", 0, whole+1)}, "is cut off"},
		"no size":            {program, []*job.Ask{ask("bootloader", "EFI/a/b", 0, 0)}, "no program is that large"},
		"before its begin":   {program, []*job.Ask{ask("bootloader", "EFI/a/b", -1, whole)}, "no program is that large"},
		"far too large":      {program, []*job.Ask{ask("bootloader", "EFI/a/b", 0, 1<<40)}, "no program is that large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := testGuard(t, x.content, loader)
			var der []byte
			var err error
			for _, a := range x.ask {
				der, err = g.Sign(t.Context(), a)
			}
			if x.want == "" {
				checkSigned(t, g, program, der, err)
			} else if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
		})
	}
}

func checkSigned(t *testing.T, g *guard, program, der []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := efi.Open(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f.WithSignatures(der))
	if err != nil {
		t.Fatal(err)
	}
	p, err := signing.ReadProgram(bytes.NewReader(data), int64(len(data)))
	if err != nil || p.ReachesAny([]*x509.Certificate{g.programs.Certificate()}) == nil {
		t.Errorf("not signed by the key: %v", err)
	}
}

func TestGuardTakesOneAnnouncement(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		list []job.Announced
		want string
	}{
		"a kind that the config does not have": {[]job.Announced{{Kind: "shim", Path: "EFI/*/*", Count: 1}}, "does not ask for"},
		"too many":                             {[]job.Announced{{Kind: "bootloader", Path: "EFI/*/*", Count: 501}}, "more than 500"},
		"a pattern that is none":               {[]job.Announced{{Kind: "bootloader", Path: "EFI/[", Count: 1}}, "no announcement"},
		"none":                                 {[]job.Announced{{Kind: "bootloader", Path: "EFI/a", Count: 0}}, "no announcement"},
	} {
		g := &guard{kinds: []chain.Kind{chain.Loader}}
		if err := g.Announce(x.list); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	g := testGuard(t, nil)
	if err := g.Announce(nil); err == nil {
		t.Error("a second announcement is taken")
	}
}

// TestKeysAreFound: a copy of a private key in what was written is found wherever it lies.
func TestKeysAreFound(t *testing.T) {
	t.Parallel()
	trace := []byte("0123456789abcdefghijklmn")
	const part = 4 << 20
	for _, at := range []int64{0, 1, part - 12, part - 1, 2*part - 24, 3*part + 5} {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(64 << 20); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 5*part), 0); err != nil {
			t.Fatal(err)
		}
		if err := withoutKeys(t.Context(), [][]byte{trace}, f); err != nil {
			t.Error(err)
		}
		if _, err := f.WriteAt(trace, at); err != nil {
			t.Fatal(err)
		}
		if got, err := find(context.Background(), f, [][]byte{[]byte("other"), trace}); err != nil || got != at {
			t.Errorf("found at %d, not %d: %v", got, at, err)
		}
		if err := withoutKeys(t.Context(), [][]byte{trace}, f); err == nil {
			t.Error("no error")
		}
	}
}
