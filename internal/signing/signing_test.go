package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMicrosoftCertificates compares what is built in with what microsoft/README.md says it is.
func TestMicrosoftCertificates(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("microsoft/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := microsoftFiles.ReadDir("microsoft")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		c, err := Microsoft(strings.TrimSuffix(f.Name(), ".der"))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(c.Raw)
		if want := f.Name() + " | " + c.Subject.CommonName + " | " + hex.EncodeToString(sum[:]); !strings.Contains(string(text), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if len(MicrosoftBootCAs()) != 2 {
		t.Error("not two")
	}
}

// TestDetached has openssl, and the kernel's rules, look at signatures of root hashes.
func TestDetached(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][]string{"rsa": {"rsa:2048"}, "ec": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}} {
		dir := t.TempDir()
		k, other := testKey(t, dir, "db", kind...), testKey(t, dir, "other", "rsa:2048")
		content := []byte(strings.Repeat("0123456789abcdef", 4))
		der, err := k.SignDetached(t.Context(), content, Purpose{Kind: ForRootHash, Path: "root"})
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{"hash": content, "sig": der, "otherhash": []byte("other")} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		verify := []string{"smime", "-verify", "-binary", "-inform", "der", "-in", "sig", "-nointern", "-noverify", "-certfile"}
		must(t, dir, "openssl", append(verify, "db.pem", "-content", "hash")...)
		if out, err := tool(t, dir, "openssl", append(verify, "db.pem", "-content", "otherhash")...); err == nil {
			t.Errorf("%s: openssl takes another content:\n%s", name, out)
		}
		if err := CheckDetached(der, content, k.Certificate()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if CheckDetached(der, content, other.Certificate()) == nil || CheckDetached(der, []byte("x"), k.Certificate()) == nil {
			t.Errorf("%s: a wrong signature is taken", name)
		}
		if name != "rsa" {
			continue
		}
		must(t, dir, "openssl", "smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", "hash", "-inkey", "db.key", "-signer", "db.pem", "-outform", "der", "-out", "sig.openssl")
		if !sameFile(t, filepath.Join(dir, "sig"), filepath.Join(dir, "sig.openssl")) {
			t.Error("openssl makes another signature of the same")
		}
	}
}

// TestKeysOfFiles reads keys in all forms that openssl writes, and those that cannot be used.
func TestKeysOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := testKey(t, dir, "db", "rsa:2048")
	testKey(t, dir, "other", "rsa:2048")
	must(t, dir, "openssl", "rsa", "-in", "db.key", "-traditional", "-out", "pkcs1.key")
	must(t, dir, "openssl", "pkcs8", "-topk8", "-in", "db.key", "-out", "encrypted.key", "-passout", "pass:secret of the test")
	must(t, dir, "openssl", "pkcs8", "-topk8", "-scrypt", "-in", "db.key", "-out", "scrypt.key", "-passout", "pass:secret of the test")
	must(t, dir, "openssl", "rsa", "-in", "db.key", "-traditional", "-aes256", "-passout", "pass:secret of the test", "-out", "old.key")
	must(t, dir, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "ed.key")
	must(t, dir, "openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", "ec.key") // with parameters before the key
	for file, x := range map[string]struct{ pass, want string }{
		"db.key": {}, "pkcs1.key": {}, "encrypted.key": {pass: "secret of the test"}, "scrypt.key": {pass: "secret of the test"},
		"old.key":   {want: "pkcs8 -topk8"},
		"db.pem":    {want: "no private key"},
		"other.key": {want: "is not the one of the certificate"},
		"ed.key":    {want: "is not the one of the certificate"},
		"ec.key":    {want: "is not the one of the certificate"},
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ParseKey(data, []byte(x.pass))
		if err == nil {
			_, err = NewKey("db", k.Chain, signer)
		}
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: got %v, want %q", file, err, x.want)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "encrypted.key"))
	if err != nil {
		t.Fatal(err)
	}
	for pass, want := range map[string]error{"": ErrPassphrase, "other": ErrWrongPassphrase} {
		if _, err := ParseKey(data, []byte(pass)); !errors.Is(err, want) {
			t.Errorf("passphrase %q: got %v", pass, err)
		}
	}
}

// TestTraces: what is looked for in images is in all encodings of a key, and in nothing of its certificate.
func TestTraces(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string][]string{"rsa": {"rsa:2048"}, "ec": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}} {
		dir := t.TempDir()
		k := testKey(t, dir, "db", kind...)
		pem, err := os.ReadFile(filepath.Join(dir, "db.key"))
		if err != nil {
			t.Fatal(err)
		}
		traces := Traces(pem, k.Signer)
		must(t, dir, "openssl", "pkey", "-in", "db.key", "-outform", "der", "-out", "key.der")
		must(t, dir, "openssl", "pkey", "-in", "db.key", "-traditional", "-outform", "der", "-out", "traditional.der")
		for file, want := range map[string]bool{"db.key": true, "key.der": true, "traditional.der": true, "db.pem": false} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, trace := range traces {
				found = found || bytes.Contains(data, trace)
			}
			if found != want {
				t.Errorf("%s, %s: found is %v", name, file, found)
			}
		}
	}
}

func TestCertificatesThatAreDoubtful(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now().Add(time.Hour) // openssl's certificates begin when they are made
	for name, x := range map[string]struct {
		kind    []string
		at      time.Time
		warning string
		err     string
	}{
		"good":     {[]string{"rsa:2048"}, now, "", ""},
		"expired":  {[]string{"rsa:2048"}, now.AddDate(1, 0, 0), "it expired on", ""},
		"not yet":  {[]string{"rsa:2048"}, now.AddDate(-1, 0, 0), "it is valid from", ""},
		"large":    {[]string{"rsa:4096"}, now, "4096 bits", ""},
		"elliptic": {[]string{"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}, now, "ECDSA", ""},
		"small":    {[]string{"rsa:1024"}, now, "", "only 1024 bits"},
		"edwards":  {[]string{"ed25519"}, now, "", "nothing that boots can check"},
	} {
		must(t, dir, "openssl", append([]string{"req", "-x509", "-nodes", "-keyout", "k.key", "-out", "k.pem", "-days", "30", "-subj", "/CN=k", "-newkey"}, x.kind...)...)
		data, err := os.ReadFile(filepath.Join(dir, "k.pem"))
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ParseCertificates(data)
		if err != nil {
			t.Fatal(err)
		}
		warnings, err := (&Key{Chain: chain}).Check(x.at)
		if got := strings.Join(warnings, "; "); x.warning == "" && got != "" || !strings.Contains(got, x.warning) {
			t.Errorf("%s: warnings %q", name, got)
		}
		if x.err == "" && err != nil || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// lying answers with the signature of another key.
type lying struct{ other Signer }

func (l lying) Sign(ctx context.Context, r Request) ([]byte, error) { return l.other.Sign(ctx, r) }

func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, other := testKey(t, dir, "db", "rsa:2048"), testKey(t, dir, "other", "rsa:2048")
	k.Signer = lying{other.Signer}
	if _, err := k.SignPE(t.Context(), [32]byte{1}, Purpose{Path: "x"}); !errors.Is(err, errWrongKey) {
		t.Errorf("got %v", err)
	}
	if _, err := k.SignDetached(t.Context(), []byte("x"), Purpose{Path: "x"}); !errors.Is(err, errWrongKey) {
		t.Errorf("got %v", err)
	}
}

// TestDecisions: what becomes of programs that are signed already.
func TestDecisions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, vendor := testKey(t, dir, "db", "rsa:2048"), testKey(t, dir, "vendor", "rsa:2048")
	plain := program(t, dir)
	byVendor, byUs := sign(t, plain, vendor), sign(t, plain, k)
	_, raw, _ := signatures(t, byVendor)
	other := filepath.Join(dir, "other.efi")
	if err := os.WriteFile(other, tinyPE(4096), 0o600); err != nil {
		t.Fatal(err)
	}
	stale := sign(t, other, vendor, raw...) // the first signature is of other bytes
	for _, x := range []struct {
		file string
		e    Existing
		sign bool
		kept int
	}{
		{plain, Trusted, true, 0},
		{plain, Keep, true, 0},
		{byVendor, Trusted, false, 0},
		{byVendor, Keep, false, 0},
		{byVendor, Add, true, 1},
		{byVendor, Replace, true, 0},
		{byUs, Add, false, 0},
		{byUs, Replace, false, 0},
		{stale, Add, true, 1},
		{stale, Trusted, false, 0},
	} {
		data, err := os.ReadFile(x.file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ReadProgram(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Decide(x.e, k.Certificate(), []*x509.Certificate{vendor.Certificate()})
		if err != nil || v.Sign != x.sign || len(v.With) != x.kept || v.Sign == (v.Why != "") {
			t.Errorf("%s, %q: %+v, %v", filepath.Base(x.file), x.e, v, err)
		}
	}
}
