//go:build root

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// secure installs from a server that only the build host's certificate for it lets in, and that asks for the
// build host's own: neither is in the image.
func (c *conformance) secure(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true}
	cert, err := x509.CreateCertificate(rand.Reader, own, own, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	server := httptest.NewUnstartedServer(http.FileServer(http.Dir(filepath.Join(c.packages, "all"))))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	server.StartTLS()
	t.Cleanup(server.Close)
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, "cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "[a]\nbaseurl=" + server.URL + "\ngpgcheck=0\nsslcacert=" + dir + "/ca.pem\nsslclientcert=" + dir + "/cert.pem\nsslclientkey=" + dir + "/key.pem\n"
	customize(t, c.image, packageConfig(install("c-trigged"), "c-trigged=1.0"), filepath.Join(t.TempDir(), "out.raw"), "raw",
		"--rpm-source", c.repo(t, text), "--disable-base-image-rpm-repos")
}

// grows installs more than the disk has room for, and the disk becomes as large as that needs.
func (c *conformance) grows(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.raw")
	customize(t, c.image, packageConfig(install("c-big"), "c-big=1.0")+"storage: {resizeDisk: auto}\n", out, "raw",
		"--rpm-source", filepath.Join(c.packages, "1.0"), "--disable-base-image-rpm-repos")
	before, err := os.Stat(c.image)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	if after.Size() <= before.Size() || after.Size() > before.Size()+(3<<30) {
		t.Errorf("the disk had %d MiB and has %d MiB", before.Size()>>20, after.Size()>>20)
	}
}
