package users

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// SSHKey is a line of an authorized_keys file.
type SSHKey string

// Describe tells how the key is written.
func (SSHKey) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `(ssh|ecdsa|sk)-[-a-z0-9@.]+[ \t]+AAAA`}
}

// Validate checks that the key is one line that sshd takes, and no private key.
func (k *SSHKey) Validate(at *config.At) {
	lines, bad := publicKeys(string(*k))
	switch {
	case bad != nil:
		if bad.private {
			at.Hide()
		}
		at.Errorf("%s", bad.what).Hint("%s", bad.hint)
	case len(lines) > 1:
		at.Errorf("these are %d public keys", len(lines)).Hint("write one key an item")
	default:
		*k = SSHKey(lines[0])
	}
}

// KeyFile is a file of public keys.
type KeyFile struct {
	config.Path
	Keys []SSHKey // what was in it when the config was checked
}

// UnmarshalScalar reads the file, where files are looked at, and takes it as strictly as keys in the config. Nothing of
// it is shown.
func (f *KeyFile) UnmarshalScalar(text string, at *config.At) {
	f.Path.UnmarshalScalar(text, at)
	if f.Resolved == "" || at.FormOnly() || !at.CheckFiles() || !f.NeedFile(at) {
		return
	}
	data, err := hostfs.ReadSmall(f.Resolved, maxKeyFile)
	if err != nil {
		at.Errorf("cannot read %s: %v", f.Text, err)
		return
	}
	keys, bad := publicKeys(string(data))
	if bad != nil {
		where := f.Text
		if bad.line > 0 {
			where = fmt.Sprintf("%s, line %d", f.Text, bad.line)
		}
		at.Errorf("%s: %s", where, bad.what).Hint("%s", bad.hint)
	}
	for _, k := range keys {
		f.Keys = append(f.Keys, SSHKey(k))
	}
}

// maxKeyFile bounds a file of public keys, in bytes.
const maxKeyFile = 1 << 20

// badKey is why a text is no list of public keys; nothing of the text is in it.
type badKey struct {
	what, hint string
	line       int
	private    bool // the text is a private key, and must not be shown
}

// foreign are other ways in which keys are written.
var foreign = []struct{ begin, what, hint string }{
	{"---- BEGIN SSH2 PUBLIC KEY", "this is a public key in the form of RFC 4716", "turn it into OpenSSH's form: ssh-keygen -i -f FILE"},
	{"-----BEGIN PUBLIC KEY", "this is a public key in the form of PKCS #8", "turn it into OpenSSH's form: ssh-keygen -i -m PKCS8 -f FILE"},
	{"-----BEGIN RSA PUBLIC KEY", "this is a public key in the form of PEM", "turn it into OpenSSH's form: ssh-keygen -i -m PEM -f FILE"},
	{"-----BEGIN PGP PUBLIC KEY", "this is a PGP key, not one of SSH", "write the line of a .pub file"},
	{"-----BEGIN CERTIFICATE", "this is an X.509 certificate, not a key of SSH", "write the line of a .pub file"},
}

// publicKeys returns the lines of authorized_keys that a text holds. Comments and empty lines are left out.
func publicKeys(text string) (keys []string, bad *badKey) {
	text = strings.TrimPrefix(text, "\ufeff")
	if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "PuTTY-User-Key-File") {
		return nil, &badKey{what: "this is a private key, which must not be in an image", hint: "write the line of its .pub file (ssh-keygen -y -f FILE prints it)", private: true}
	}
	for _, f := range foreign {
		if strings.Contains(text, f.begin) {
			return nil, &badKey{what: f.what, hint: f.hint}
		}
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if bad := badLine(line); bad != nil {
			bad.line = n
			return nil, bad
		}
		if !slices.Contains(keys, line) {
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return nil, &badKey{what: "there is no public key in it", hint: "write the line of a .pub file"}
	}
	return keys, nil
}

// badLine says why sshd would not let anybody in by a line of authorized_keys.
func badLine(line string) *badKey {
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || strings.ContainsRune(line, 0) {
		return &badKey{what: "this is not a public key", hint: "write one key in one line, as in a .pub file: its type, the key in base64, a comment"}
	}
	for _, o := range options {
		name, _, _ := strings.Cut(o, "=")
		if !slices.Contains(keyOptions, strings.ToLower(name)) {
			return &badKey{what: fmt.Sprintf("sshd knows no option %q, and would not look at the key", name), hint: config.DidYouMean(name, keyOptions, "sshd(8) lists the options; write the key's type first where it has none")}
		}
	}
	if _, is := key.(*ssh.Certificate); is {
		return &badKey{what: "this is a certificate, by which authorized_keys lets nobody in", hint: "write the public key itself, or that of the authority with the option cert-authority"}
	}
	return nil
}

// keyOptions are the options of authorized_keys, sshd(8); case does not matter.
var keyOptions = strings.Fields(`agent-forwarding cert-authority command environment expiry-time from no-agent-forwarding
	no-port-forwarding no-pty no-user-rc no-x11-forwarding permitlisten permitopen port-forwarding principals pty
	no-touch-required verify-required restrict tunnel user-rc x11-forwarding`)
