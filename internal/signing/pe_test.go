package signing

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/efi/efitest"
)

// tool runs a program and returns what it printed.
func tool(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), err
}

func must(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := tool(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// testKey makes a key and its certificate with openssl, as NAME.key and NAME.pem.
func testKey(t *testing.T, dir, name string, kind ...string) *Key {
	t.Helper()
	must(t, dir, "openssl", append([]string{"req", "-x509", "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-days", "30", "-subj", "/CN=" + name, "-newkey"}, kind...)...)
	return readKey(t, dir, name)
}

func readKey(t *testing.T, dir, name string) *Key {
	t.Helper()
	read := func(file string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	chain, err := ParseCertificates(read(name + ".pem"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ParseKey(read(name+".key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKey(name, chain, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(time.Now()); err != nil {
		t.Fatal(err)
	}
	return k
}

// tinyPE is an EFI program with a section of so many bytes.
func tinyPE(size int) []byte {
	return efitest.Program(map[string][]byte{".text": bytes.Repeat([]byte("code"), size/4)})
}

func program(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "program.efi")
	if err := os.WriteFile(file, tinyPE(3000), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sign signs a program, with what was there before or without, and returns the new file.
func sign(t *testing.T, file string, k *Key, before ...[]byte) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := efi.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := f.Digest()
	if err != nil {
		t.Fatal(err)
	}
	der, err := k.SignPE(t.Context(), digest, Purpose{Path: "EFI/BOOT/BOOTX64.EFI"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(f.WithSignatures(append(before, der)...)); err != nil {
		t.Fatal(err)
	}
	to := file + "." + k.Name
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func signatures(t *testing.T, file string) (list []*Signature, raw [][]byte, digest [32]byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := efi.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = f.Signatures(); err != nil {
		t.Fatal(err)
	}
	for _, der := range raw {
		s, err := ReadPE(der)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if digest, err = f.Digest(); err != nil {
		t.Fatal(err)
	}
	return list, raw, digest
}

// TestSignedPrograms has sbverify and osslsigncode, which share no code with this, look at signatures, and signs once more
// what sbsign has signed.
func TestSignedPrograms(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][]string{
		"rsa2048": {"rsa:2048"}, "rsa4096": {"rsa:4096"}, "p256": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}, "p384": {"ec", "-pkeyopt", "ec_paramgen_curve:P-384"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			k, other := testKey(t, dir, "db", kind...), testKey(t, dir, "other", "rsa:2048")
			file := program(t, dir)
			signed := sign(t, file, k)
			must(t, dir, "sbverify", "--cert", "db.pem", signed)
			if out, err := tool(t, dir, "sbverify", "--cert", "other.pem", signed); err == nil {
				t.Errorf("sbverify takes another certificate:\n%s", out)
			}
			out := must(t, dir, "osslsigncode", "verify", "-CAfile", "db.pem", "-in", signed)
			if strings.Contains(out, "MISMATCH") || !strings.Contains(out, "Succeeded") {
				t.Errorf("osslsigncode says:\n%s", out)
			}
			if again := sign(t, file, k); !sameFile(t, signed, again) {
				t.Error("the same program signed twice gives two files")
			}
			twice := filepath.Join(dir, "twice.efi")
			must(t, dir, "sbsign", "--key", "other.key", "--cert", "other.pem", "--output", twice, signed)
			list, raw, digest := signatures(t, twice)
			if len(list) != 2 || !bytes.Equal(list[1].Digest, digest[:]) || !list[1].Reaches(other.Certificate()) || list[1].Reaches(k.Certificate()) {
				t.Fatalf("got %d signatures", len(list))
			}
			thrice := sign(t, twice, other, raw[:1]...)
			must(t, dir, "sbverify", "--cert", "db.pem", thrice)
			must(t, dir, "sbverify", "--cert", "other.pem", thrice)
		})
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	return bytes.Equal(x, y)
}

// TestSignedAlike compares digests with those of sbsign for programs of sizes that are no multiple of 8, and with data
// behind their sections.
func TestSignedAlike(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	testKey(t, dir, "db", "rsa:2048")
	for _, more := range []int{0, 1, 4, 7, 8, 513} {
		file := filepath.Join(dir, "p.efi")
		if err := os.WriteFile(file, append(tinyPE(2048), make([]byte, more)...), 0o600); err != nil {
			t.Fatal(err)
		}
		must(t, dir, "sbsign", "--key", "db.key", "--cert", "db.pem", "--output", "s.efi", file)
		list, _, digest := signatures(t, filepath.Join(dir, "s.efi"))
		if !bytes.Equal(list[0].Digest, digest[:]) {
			t.Errorf("%d bytes more: sbsign has another digest", more)
		}
	}
}
