package users

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// PasswordType says what a password's value is.
type PasswordType string

// Values lists the types.
func (PasswordType) Values() []string {
	return []string{"locked", "plain-text", "hashed", "plain-text-file", "hashed-file"}
}

func (t PasswordType) isFile() bool { return strings.HasSuffix(string(t), "-file") }

func (t PasswordType) isHash() bool { return strings.HasPrefix(string(t), "hashed") }

// Password is how a user logs in with a password.
type Password struct {
	Type  PasswordType `yaml:"type" required:"true" doc:"What value is: nothing (locked: no password works), the password itself, its crypt(3) hash, or a file with either."`
	Value string       `yaml:"value" secret:"true" doc:"The password, hash, or path of a file with it."`

	File PasswordFile `yaml:"-"` // Value, for the types that name a file
}

// Discloses tells that the value may be shown where it is a path.
func (p *Password) Discloses(string) bool { return p.Type.isFile() }

// Validate checks that there is a value exactly where one is needed, and that it can be one.
func (p *Password) Validate(at *config.At) {
	value := at.Field("value")
	switch {
	case p.Type == "locked" && p.Value != "":
		value.Errorf("a locked password has no value").Hint("remove value, or use another type")
	case p.Type != "locked" && p.Value == "":
		value.Errorf("the password has no value").Hint("add \"value:\"")
	case p.Type.isFile():
		if len(value.Secrets()) > 0 {
			value.Errorf("a secret is the password itself, or its hash, and no path").Hint("use the type plain-text or hashed")
			return
		}
		p.File.UnmarshalScalar(p.Value, value)
		p.File.Check(p.Type.isHash(), value)
	case p.Type != "locked" && !value.Pending():
		CheckPassword(p.Value, p.Type.isHash(), value)
	}
}

// CheckPassword reports what cannot be a password, or the hash of one. The text is not shown.
func CheckPassword(text string, hash bool, at *config.At) {
	if err := badPassword(text, hash); err != nil {
		at.Errorf("%v", err.what).Hint("%s", err.hint)
	}
}

// PasswordFile is a file with a password or its hash.
type PasswordFile struct {
	config.Path
	Password string // what was in it when the config was checked
}

// UnmarshalScalar reads the file, where files are looked at. The line break at its end is not part of the password.
func (f *PasswordFile) UnmarshalScalar(text string, at *config.At) {
	f.Path.UnmarshalScalar(text, at)
	if f.Resolved == "" || at.FormOnly() || !at.CheckFiles() {
		return
	}
	if f.NeedFile(at) {
		data, err := hostfs.ReadSmall(f.Resolved, 1<<16)
		if err == nil {
			f.Password = strings.TrimRight(string(data), "\r\n")
			return
		}
		at.Errorf("cannot read %s: %v", f.Text, err)
	}
	f.Path = config.Path{} // what is wrong with it was reported
}

// Check checks a password in a file as strictly as one in the config. Nothing of it is shown.
func (f *PasswordFile) Check(hash bool, at *config.At) {
	if f.Resolved == "" || !at.CheckFiles() {
		return
	}
	if bad := badPassword(f.Password, hash); bad != nil {
		at.Errorf("%s: %s", f.Text, bad.what).Hint("%s", bad.hint)
	}
}

// maxPassword is the longest that crypt(3) takes, in bytes (CRYPT_MAX_PASSPHRASE_SIZE).
const maxPassword = 512

type badText struct{ what, hint string }

func badPassword(text string, hash bool) *badText {
	switch {
	case text == "":
		return &badText{"there is no password in it", "write it, or use the type locked"}
	case strings.ContainsAny(text, "\n\x00"):
		return &badText{"a password holds no line break and no null byte", "write it alone, in one line"}
	case strings.HasPrefix(text, "\ufeff"):
		return &badText{"the password begins with a byte order mark, which nobody types", "save the file without it"}
	case len(text) >= maxPassword:
		return &badText{fmt.Sprintf("the password has %d bytes, more than a login takes", len(text)), fmt.Sprintf("use less than %d", maxPassword)}
	case hash && !cryptForm.MatchString(text):
		return &badText{"this is no crypt(3) hash of a password, and nobody could log in", "make one with openssl passwd -6, or say type: plain-text"}
	}
	return nil
}

// cryptForm is what /etc/shadow may hold: a hash of crypt(5), which a "!" before it locks, or a mark that
// locks the password.
var cryptForm = regexp.MustCompile(`^(?:!{0,2}(?:` + strings.Join([]string{
	`\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}`,             // yescrypt
	`\$gy\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}`,            // gost-yescrypt
	`\$7\$[./A-Za-z0-9]{11}[^$:\n]{0,64}\$[./A-Za-z0-9]{43}`,                  // scrypt
	`\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}`,                                  // bcrypt
	`\$6\$(?:rounds=[1-9][0-9]*\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{86}`,          // SHA-512
	`\$5\$(?:rounds=[1-9][0-9]*\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{43}`,          // SHA-256
	`\$sm3\$(?:rounds=[1-9][0-9]*\$)?[^$:\n]{0,16}\$[./A-Za-z0-9]{43}`,        // SM3
	`\$sha1\$[1-9][0-9]*\$[./A-Za-z0-9]{1,64}\$[./A-Za-z0-9]{28}`,             // NetBSD's
	`\$md5(?:,rounds=[1-9][0-9]*)?\$[./A-Za-z0-9]{8}\${1,2}[./A-Za-z0-9]{22}`, // Solaris'
	`\$1\$[^$:\n]{0,8}\$[./A-Za-z0-9]{22}`,                                    // MD5
	`[./A-Za-z0-9]{13}`,                                                       // DES
}, "|") + `)|[!*]|!!|!\*)$`)

// text is the password or hash itself.
func (p *Password) text() string {
	if p.Type.isFile() {
		return p.File.Password
	}
	return p.Value
}

// hashPassword makes a sha512-crypt hash with the rounds crypt(3) defaults to.
func hashPassword(text, salt string) (string, error) {
	h, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(5000))
	if err != nil {
		return "", err
	}
	digest, err := h.HashWithSalt(text, []byte(salt))
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return digest.Encode(), nil
}
