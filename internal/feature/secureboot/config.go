// Package secureboot is the section signing of a config: whose keys sign what boots the image.
package secureboot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
)

// Signing says which keys there are, and what they sign.
type Signing struct {
	Keys       map[string]Key `yaml:"keys" doc:"Keys by names that the rest of this section refers to. Private keys reach neither the image nor any log." example:"{db: {certificate: db.pem, key: db.key}}"`
	SecureBoot SecureBoot     `yaml:"secureBoot" doc:"Signatures that firmware and shim look for."`
}

// Key is a private key and its certificate.
type Key struct {
	Certificate config.Path `yaml:"certificate" doc:"File with the certificate, in PEM or DER. In PEM, those that vouch for it may follow."`
	Key         config.Path `yaml:"key" doc:"File with the private key, in PEM."`
	Passphrase  *Secret     `yaml:"passphrase" doc:"What the key's file is encrypted with."`
}

// Secret says where a passphrase or PIN is. It never stands in the config itself.
type Secret struct {
	Env  string      `yaml:"env" doc:"Environment variable that holds it." example:"KEY_PASSPHRASE"`
	File config.Path `yaml:"file" doc:"File that holds it, in its first line."`
}

// Validate checks that it is said in one way.
func (s *Secret) Validate(at *config.At) {
	switch {
	case s.Env == "" && s.File.Text == "":
		at.Errorf("it is not said where the secret is").Hint("write {env: NAME} or {file: PATH}")
	case s.Env != "" && s.File.Text != "":
		at.Field("file").Errorf("env and file exclude each other").Hint("keep one of them")
	}
	s.File.NeedFile(at.Field("file"))
}

// SecureBoot says what of the image is signed for Secure Boot.
type SecureBoot struct {
	Key      string   `yaml:"key" doc:"The key that signs." example:"db"`
	Sign     []Object `yaml:"sign" doc:"What is signed. Default: the boot loader, and unified kernel images with their add-ons or, where GRUB boots the image, kernels."`
	Existing Existing `yaml:"existing" doc:"What becomes of signatures that are there. Default: what the image's own shim or Microsoft vouches for is kept as it is, and all else gets another signature."`
	SBAT     SBAT     `yaml:"sbat" default:"check" doc:"Whether a program is refused that shim would not start, since its generation is revoked (SBAT)."`
}

// Object is a kind of program.
type Object string

// The kinds of programs that are signed.
const (
	Loader Object = "bootloader"
	UKI    Object = "uki"
	Addon  Object = "addons"
	Kernel Object = "kernel"
	Shim   Object = "shim"
)

// Values lists the kinds.
func (Object) Values() []string {
	return []string{string(Loader), string(UKI), string(Addon), string(Kernel), string(Shim)}
}

// Existing says what becomes of signatures that are there.
type Existing string

// What becomes of signatures.
const (
	Keep    Existing = "keep"    // what has a valid signature, whosever it is, gets none
	Add     Existing = "add"     // they stay, and another one is added
	Replace Existing = "replace" // they go
)

// Values lists the ways.
func (Existing) Values() []string { return []string{string(Keep), string(Add), string(Replace)} }

// SBAT says what becomes of programs that are revoked.
type SBAT string

// IgnoreSBAT signs them all the same.
const IgnoreSBAT SBAT = "ignore"

// Values lists the ways.
func (SBAT) Values() []string { return []string{"check", string(IgnoreSBAT)} }

// Used tells whether something is to be signed.
func (s *SecureBoot) Used() bool { return s.Key != "" }

// keyName is how keys are named.
var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// Validate checks what concerns several parts.
func (s *Signing) Validate(at *config.At) {
	keys := at.Field("keys")
	for _, name := range slices.Sorted(maps.Keys(s.Keys)) {
		if !keyName.MatchString(name) {
			keys.Key(name).Errorf("%q is no name for a key", name).Hint("use letters, digits, \"-\", \"_\" and \".\"")
		}
		k := s.Keys[name]
		k.check(keys.Field(name))
	}
	b := at.Field("secureBoot")
	s.refers(b, s.SecureBoot.Key)
	if s.SecureBoot.Key == "" && (len(s.SecureBoot.Sign) > 0 || s.SecureBoot.Existing != "") {
		b.Errorf("it is not said which key signs").Hint("add \"key:\" with %s", s.names())
	}
}

// refers checks the name of a key.
func (s *Signing) refers(at *config.At, name string) {
	if _, known := s.Keys[name]; name != "" && !known {
		at.Field("key").Errorf("there is no key %q", name).Hint("%s", config.DidYouMean(name, slices.Collect(maps.Keys(s.Keys)), "write "+s.names()))
	}
}

func (s *Signing) names() string {
	if len(s.Keys) == 0 {
		return "the name of a key, and add that to signing.keys"
	}
	return fmt.Sprintf("one of %s", strings.Join(slices.Sorted(maps.Keys(s.Keys)), ", "))
}

// check checks how a key is given.
func (k *Key) check(at *config.At) {
	if k.Certificate.Text == "" {
		at.Errorf("the certificate of the key is missing").Hint("add \"certificate:\" with a file")
	}
	if k.Key.Text == "" {
		at.Errorf("it is not said where the private key is").Hint("add \"key:\" with a file")
	}
	k.Certificate.NeedFile(at.Field("certificate"))
	k.Key.NeedFile(at.Field("key"))
}

// UsedKeys are the names of the keys that sign something, sorted.
func (s *Signing) UsedKeys() (names []string) {
	for _, n := range []string{s.SecureBoot.Key} {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}
