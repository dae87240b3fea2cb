//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// signConfig is a config that signs with the key of a directory.
func signConfig(keys, secureBoot, more string) string {
	return "signing:\n  keys: {db: {certificate: " + keys + "/db.pem, key: " + keys + "/db.key}}\n  secureBoot: {key: db" + secureBoot + "}\n" + more
}

// onESP copies a file of a raw image's EFI system partition.
func onESP(t *testing.T, image, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file.efi")
	sh(t, ".", "MTOOLS_SKIP_CHECK=1 mcopy -n -i "+fixture.ESP(t, image)+" ::/"+name+" "+to)
	return to
}

// onRoot copies a file of a raw image's ext4 root.
func onRoot(t *testing.T, image, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(to, []byte(readFile(t, image, name)), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// signedBy tells whether sbverify takes a program as signed by the key of a directory. It takes a signature with a chain
// for one by anybody, so the signer is looked for too.
func signedBy(t *testing.T, keys, file string) bool {
	t.Helper()
	if !strings.Contains(sh(t, ".", "sbverify --list "+file+" 2>&1 || true"), "subject: /CN=Test of image signing") {
		return false
	}
	return strings.Contains(sh(t, ".", "sbverify --cert "+keys+"/db.pem "+file+" 2>&1 || true"), "Signature verification OK")
}

// TestSigning signs a GRUB image. sbverify, which shares no code with this, looks at what boots it. The key lies beside
// the config, where scripts of the image can read everything else, and nothing that the run leaves has any of it.
func TestSigning(t *testing.T) {
	t.Parallel()
	dir := signingKey(t)
	image, log := filepath.Join(dir, "image.raw"), filepath.Join(dir, "log")
	config := filepath.Join(dir, "config.yaml")
	text := signConfig(dir, ", existing: add", `scripts:
  postCustomization:
  - content: |
      set -e
      test -s "$PWD/db.pem" || cd /_imageconfigs
      test -s db.pem && ! test -e db.key && ! ls | grep key
`)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out := run(t, "--log-file", log, "--image-file", base(t, "debian12-efi"), "--config-file", config, "--output-image-file", image)
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, out)
	}
	for _, name := range []string{"EFI/BOOT/grubx64.efi", "EFI/debian/grubx64.efi"} {
		file := onESP(t, image, name)
		if !signedBy(t, dir, file) {
			t.Errorf("%s is not signed", name)
		}
		if got := sh(t, ".", "sbverify --list "+file+" 2>&1 | grep -c 'image signature issuers'"); got != "2" {
			t.Errorf("%s has %s signatures, not that of Debian and ours", name, got)
		}
	}
	if signedBy(t, dir, onESP(t, image, "EFI/BOOT/bootx64.efi")) {
		t.Error("shim is signed, which nobody has asked for")
	}
	kernel := strings.Fields(sh(t, ".", "debugfs -R 'ls -p /boot' "+image+"?offset="+sh(t, ".", "echo $(("+offset(t, image)+"))")+" 2>/dev/null | cut -d/ -f6 | grep '^vmlinuz-'"))
	for _, k := range kernel {
		if !signedBy(t, dir, onRoot(t, image, "/boot/"+k)) {
			t.Errorf("%s is not signed", k)
		}
	}
	if len(kernel) == 0 || !strings.Contains(out, "signed /boot/"+kernel[0]) {
		t.Errorf("the kernels %v are not reported:\n%s", kernel, out)
	}
	piece := strings.Split(sh(t, dir, "sed -n 5p db.key"), "\n")[0][8:40]
	if got := sh(t, ".", "grep -lF -- "+piece+" "+image+" "+log+" || true"); got != "" {
		t.Errorf("the key is in %s", got)
	}
}

func offset(t *testing.T, image string) string {
	t.Helper()
	return strings.TrimSpace(sh(t, ".", "sfdisk -J "+image+" | jq '[.partitiontable.partitions[]] | max_by(.size).start * 512'"))
}

// TestSigningKeepsWhatIsTrusted: Debian's shim vouches for its GRUB and its kernels, and Microsoft for shim.
func TestSigningKeepsWhatIsTrusted(t *testing.T) {
	t.Parallel()
	dir := signingKey(t)
	image := filepath.Join(dir, "image.raw")
	status, out := run(t, "--image-file", base(t, "debian12-efi"), "--config-file", writeConfig(t, signConfig(dir, "", "")), "--output-image-file", image)
	if status != 0 || strings.Contains(out, "\nsigned ") || !strings.Contains(out, "vouches for it") {
		t.Errorf("exit %d\n%s", status, out)
	}
}

// TestSigningRefuses finds before anything is written what cannot be signed, or must not be.
func TestSigningRefuses(t *testing.T) {
	t.Parallel()
	dir := signingKey(t)
	sh(t, dir, `openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 30 -subj "/CN=other" 2>&1
openssl pkcs8 -topk8 -in db.key -out encrypted.key -passout pass:passphrase-of-the-test
echo nothing > nothing.pem; cp db.key ../stolen.key`)
	use := func(certificate, key, more string) string {
		return "signing:\n  keys: {db: {certificate: " + dir + "/" + certificate + ", key: " + dir + "/" + key + more + "}}\n  secureBoot: {key: db, existing: add}\n"
	}
	image := base(t, "debian12-efi")
	for name, x := range map[string]struct{ config, image, want string }{
		"another key":       {use("db.pem", "other.key", ""), image, "is not the one of the certificate"},
		"no passphrase":     {use("db.pem", "encrypted.key", ""), image, "protected by a passphrase, and none is given"},
		"no variable":       {use("db.pem", "encrypted.key", ", passphrase: {env: NO_SUCH_VARIABLE}"), image, "the environment has no variable NO_SUCH_VARIABLE"},
		"wrong passphrase":  {use("db.pem", "encrypted.key", ", passphrase: {file: "+dir+"/nothing.pem}"), image, "its passphrase is another one"},
		"no certificate":    {use("nothing.pem", "db.key", ""), image, "there is no certificate in it"},
		"no such key":       {"signing: {keys: {db: {certificate: " + dir + "/db.pem, key: " + dir + "/db.key}}, secureBoot: {key: dv}}\n", image, "did you mean \"db\""},
		"no such programs":  {signConfig(dir, ", sign: [uki]", ""), image, "nothing of the kind \"uki\""},
		"revoked":           {signConfig(dir, ", existing: add", ""), base(t, "azl3"), "its component grub is of generation 4"},
		"the key is copied": {signConfig(dir, ", existing: add", "os: {additionalFiles: [{source: "+dir+"/../stolen.key, destination: /root/k}]}\n"), image, "has a private key of signing.keys in it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := filepath.Join(t.TempDir(), "image.raw")
			status, out := run(t, "--image-file", x.image, "--config-file", writeConfig(t, x.config), "--output-image-file", to)
			if status == 0 || !strings.Contains(out, x.want) {
				t.Errorf("exit %d, want %q\n%s", status, x.want, out)
			}
			if _, err := os.Stat(to); err == nil {
				t.Error("an image was written")
			}
		})
	}
}
