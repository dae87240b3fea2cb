package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/secureboot"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/secret"
	"imagecustomizer/internal/signing"
	"imagecustomizer/internal/ui"
)

// keyring are the keys of a config. They never leave this process, which is the supervisor.
type keyring struct {
	keys   map[string]*signing.Key
	files  []string // that hold secrets: the worker does not see them
	traces [][]byte // of private keys, which nothing that is written may have
}

// maxKeyFile bounds what is read of a key or certificate, in bytes.
const maxKeyFile = 1 << 20

// openKeys reads the keys that a config uses. What is wrong with them is reported at their places.
func openKeys(s *secureboot.Signing, place func(path string) *config.At, now time.Time) *keyring {
	r := &keyring{keys: map[string]*signing.Key{}}
	for _, name := range s.UsedKeys() {
		at := place("signing.keys." + name)
		if k := r.open(name, s.Keys[name], at, now); k != nil {
			r.keys[name] = k
		}
	}
	return r
}

func (r *keyring) open(name string, k secureboot.Key, at *config.At, now time.Time) *signing.Key {
	chain, err := readCertificates(k.Certificate)
	if err != nil {
		at.Field("certificate").Errorf("%s: %v", k.Certificate.Text, err)
	}
	signer, errKey := r.read(k, at)
	if err != nil || errKey != nil {
		return nil
	}
	key, err := signing.NewKey(name, chain, signer)
	if err != nil {
		at.Field("key").Errorf("%s and %s: %v", k.Key.Text, k.Certificate.Text, err)
		return nil
	}
	warnings, err := key.Check(now)
	if err != nil {
		at.Field("certificate").Errorf("%s: %v", k.Certificate.Text, err)
		return nil
	}
	for _, w := range warnings {
		at.Field("certificate").Warnf("%s: %s", k.Certificate.Text, w)
	}
	return key
}

func readCertificates(p config.Path) ([]*signing.Certificate, error) {
	data, err := hostfs.ReadSmall(p.Resolved, maxKeyFile)
	if err != nil {
		return nil, errors.New(config.Reason(err))
	}
	return signing.ParseCertificates(data)
}

// read reads a private key from a file. No error has any of it.
func (r *keyring) read(k secureboot.Key, at *config.At) (signing.Signer, error) {
	r.files = append(r.files, k.Key.Resolved)
	data, err := hostfs.ReadSmall(k.Key.Resolved, maxKeyFile)
	if err != nil {
		at.Field("key").Errorf("%s: %s", k.Key.Text, config.Reason(err))
		return nil, err
	}
	warnOfReaders(k.Key.Resolved)
	passphrase, err := r.secret(k.Passphrase)
	if err != nil {
		at.Field("passphrase").Errorf("%v", err)
		return nil, err
	}
	signer, err := signing.ParseKey(data, []byte(passphrase))
	if err != nil {
		e := at.Field("key").Errorf("%s: %v", k.Key.Text, err)
		if errors.Is(err, signing.ErrPassphrase) {
			e.Hint("add \"passphrase: {env: NAME}\" or \"passphrase: {file: PATH}\"")
		}
		return nil, err
	}
	r.traces = append(r.traces, signing.Traces(data, signer)...)
	return signer, nil
}

// secret is a passphrase. A variable of the environment is taken out of it: no program that runs from now on has it.
func (r *keyring) secret(s *secureboot.Secret) (string, error) {
	if s == nil {
		return "", nil
	}
	if s.Env == "" {
		r.files = append(r.files, s.File.Resolved)
	}
	text, err := secretFrom(s.Env, s.File)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", errors.New("the passphrase is empty")
	}
	ui.Redact(secret.Forms(text)...)
	return text, nil
}

// forget takes passphrases out of the environment.
func (r *keyring) forget(s *secureboot.Signing) {
	for _, name := range s.UsedKeys() {
		if p := s.Keys[name].Passphrase; p != nil && p.Env != "" {
			_ = os.Unsetenv(p.Env)
		}
	}
}

// warnOfReaders warns of a private key that others than its owner can read.
func warnOfReaders(path string) {
	const others = 0o077
	if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&others != 0 && fi.Mode()&fs.ModeType == 0 {
		slog.Warn("a private key can be read by others than its owner: chmod 600", "file", path, "mode", fmt.Sprintf("%04o", fi.Mode().Perm()))
	}
}

// hidden are the files of a config's keys, which the worker does not see whether they are used or not.
func hidden(s *secureboot.Signing) (files []string) {
	for _, k := range s.Keys {
		files = append(files, k.Key.Resolved)
		if k.Passphrase != nil {
			files = append(files, k.Passphrase.File.Resolved)
		}
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}
