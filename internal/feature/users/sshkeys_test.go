package users

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/featuretest"
)

// Public keys of which nobody has the other half.
const (
	edKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w"
	ecKey = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBH4KBrczd/B5x5iqDBEiTgDxGqXvHQ4hizA944qNTd5kMs2T2+sqHjbxr16WatT7216Epm1bmfz9fpWYjgYnzqU="
)

func TestPublicKeysAreWhatSSHDTakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		keys int
		want string // of the message; "" for none
	}{
		"one key":                {edKey, 1, ""},
		"with a comment":         {edKey + " alice@example.org of two words\n", 1, ""},
		"several, with comments": {"# all\n\n" + edKey + " a\n  # more\n" + ecKey + "\n", 2, ""},
		"the same twice":         {edKey + "\n" + edKey + "\n", 1, ""},
		"lines of Windows":       {edKey + "\r\n" + ecKey + "\r\n", 2, ""},
		"byte order mark":        {"\ufeff" + edKey + "\n", 1, ""},
		"no line break":          {edKey, 1, ""},
		"options":                {`restrict,command="echo \"a b\"",from="10.0.0.0/8" ` + edKey, 1, ""},
		"option in capitals":     {"no-X11-forwarding " + edKey, 1, ""},
		"authority":              {`cert-authority,principals="a" ` + edKey, 1, ""},
		"empty":                  {"", 0, "no public key"},
		"comments only":          {"# none\n", 0, "no public key"},
		"junk":                   {"hello world", 0, "not a public key"},
		"HTML of an error":       {"<!DOCTYPE html>\n<html><body>404</body></html>\n", 0, "not a public key"},
		"junk behind a key":      {edKey + "\nhello\n", 0, "not a public key"},
		"cut off":                {edKey[:len(edKey)-10], 0, "not a public key"},
		"type of another":        {"ssh-rsa " + strings.Fields(edKey)[1], 0, "not a public key"},
		"no base64":              {"ssh-ed25519 AAAA====", 0, "not a public key"},
		"two keys in a line":     {edKey + "," + edKey, 0, "not a public key"},
		"known_hosts":            {"github.com " + edKey, 0, "no option"},
		"option misspelled":      {"no-ptty " + edKey, 0, "no option"},
		"private key":            {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\n-----END OPENSSH PRIVATE KEY-----\n", 0, "private key"},
		"private key of old":     {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", 0, "private key"},
		"private key later":      {edKey + "\n-----BEGIN PRIVATE KEY-----\nMIG\n", 0, "private key"},
		"PuTTY":                  {"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", 0, "private key"},
		"RFC 4716":               {"---- BEGIN SSH2 PUBLIC KEY ----\nComment: a\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", 0, "RFC 4716"},
		"PKCS #8":                {"-----BEGIN PUBLIC KEY-----\nMIIB\n", 0, "PKCS #8"},
		"PEM":                    {"-----BEGIN RSA PUBLIC KEY-----\nMIIB\n", 0, "PEM"},
		"X.509":                  {"-----BEGIN CERTIFICATE-----\nMIIB\n", 0, "X.509"},
		"PGP":                    {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 0, "PGP"},
		"certificate":            {"ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgYdYGe75GcJ3QjoEAN+NcMAaqAKVGmfyCW1MazUUwl4wAAAADAQABAAABgQDKGsmXIw9xdR4ONxlNes7OXm0SayXE61pbzhd/8Tgm+XBvyyUsV4fQqZliJAFN7nUivPqLRbqLvweta3plXnTz55HTf1Lfc0TeiRLRwu+IwBglHbA+TvnJ4TLY46A6iNnhXFauwhS5ryqBmLYCOf96JaqItc5V364I/I4zIYEsrbLsvZE58WtKNHGmovE4Fmzt+xIikhLT8D4nD3OJa5Yfc7iYgX8gJvATdAR2IQuqolcnzJQ+Ny/YszJ6g1DxKkgWfhwHvTr5wGS/1riJl1Z8QzmuAvBzJVWCispHsyKXsjg5mgCmtxWtMrVjpzYwn9DvZQhHpKVr11+WQPlOirqYAmxAtv3hzdAjPhAlvbtuPdKZtzOcwrDaZtr01a5QW3jh3h4rLUsr8nEVas7IlfitvzMDpFn+cUfYOuKQcWDOx4w8+ow5kuuf5KNPzTlkCT38ZCr5edoKY42ZUpqyWNW98Wy/+U+I3qU7eRbATR/8niSWXZcxCJxv0EHHBAb1nikAAAAAAAAAAAAAAAEAAAACbWUAAAAJAAAABWFsaWNlAAAAAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnBlcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8wAAAAUwAAAAtzc2gtZWQyNTUxOQAAAEDm2yJk4A/zM7ZVGzu0qTZfwqAJimuCS69gSG1bHHf1nMy9B4SOqFNIrKDc5QUCD7T+dBXNvlisaRRofMvQTUMO", 0, "certificate"},
		"null byte":              {edKey + " a\x00b", 0, "not a public key"},
		"UTF-16":                 {"\xff\xfes\x00s\x00h\x00", 0, "not a public key"},
	} {
		keys, bad := publicKeys(c.text)
		if c.want == "" && (bad != nil || len(keys) != c.keys) {
			t.Errorf("%s: %d keys, %+v", name, len(keys), bad)
		}
		if c.want != "" && (bad == nil || !strings.Contains(bad.what, c.want) || bad.hint == "") {
			t.Errorf("%s: %+v, want %q", name, bad, c.want)
		}
		checkBothWays(t, name, c.text, c.want)
	}
}

// checkBothWays gives a text as the content of a file and, where it is one line, in the config: both are
// taken or refused alike, and nothing of a private key is shown.
func checkBothWays(t *testing.T, name, text, want string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	configs := map[string]string{"file": "os: {users: [{name: a, sshPublicKeyPaths: [key]}]}"}
	if want != "" && !strings.Contains(text, "\x00") && !strings.Contains(text, "\xff") {
		configs["inline"] = "os:\n  users:\n  - name: a\n    sshPublicKeys:\n    - |\n      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
	}
	for how, yaml := range configs {
		got := featuretest.Reported[usersTest](filepath.Join(dir, "c.yaml"), yaml)
		if failed := strings.Contains(got, "error: "); failed != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s, %s: failed %v, want %q:\n%s", name, how, failed, want, got)
		}
		for _, secret := range []string{"b3Blbn", "Proc-Type", "MIG"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s, %s shows the key:\n%s", name, how, got)
			}
		}
	}
}

// TestFilesAreReadOnce: what was checked is what goes into the image, whatever the files hold later.
func TestFilesAreReadOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("key", edKey+"\n")
	write("password", "hunter2\r\n")
	doc, report := config.Parse(filepath.Join(dir, "c.yaml"), []byte("os: {users: [{name: a, sshPublicKeyPaths: [key], password: {type: plain-text-file, value: password}}]}"))
	var c usersTest
	doc.Decode(&c, config.Options{CheckFiles: true})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	write("password", "another")
	crossed, err := json.Marshal(c)
	if err == nil {
		c = usersTest{}
		err = json.Unmarshal(crossed, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	u := c.OS.Users[0]
	if lines := u.authorized(); len(lines) != 1 || lines[0] != edKey || u.Password.text() != "hunter2" {
		t.Errorf("%q %q", lines, u.Password.text())
	}
}

func TestPasswordsAreWhatALoginTakes(t *testing.T) {
	t.Parallel()
	six := "$6$salt$" + strings.Repeat("a", 86)
	for text, want := range map[string]bool{
		six: true, "!" + six: true, "$6$rounds=5000$salt$" + strings.Repeat("a", 86): true, "$6$$" + strings.Repeat("a", 86): true,
		"$5$s$" + strings.Repeat("b", 43): true, "$1$s$" + strings.Repeat("b", 22): true, "$2b$12$" + strings.Repeat("c", 53): true,
		"$y$j9T$abc$" + strings.Repeat("d", 43): true, "abcdefghijklm": true, "*": true, "!": true, "!!": true,
		"secret": false, "$6$salt$short": false, six + ":": false, six + " ": false, six + "x": false, "$9$s$" + strings.Repeat("a", 43): false,
		"{SSHA}abc": false, "5f4dcc3b5aa765d61d8327deb882cf99": false, "": false, "x": false, six + "\n" + six: false, "$argon2id$v=19$m=1,t=1,p=1$c$h": false,
	} {
		if got := badPassword(text, true); (got == nil) != want {
			t.Errorf("%q as a hash: %+v", text, got)
		}
	}
	for text, want := range map[string]bool{"secret": true, " ": true, "a:b": true, "": false, "a\nb": false, "\ufeffa": false, strings.Repeat("a", 512): false, strings.Repeat("a", 511): true} {
		if got := badPassword(text, false); (got == nil) != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
