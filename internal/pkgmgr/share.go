package pkgmgr

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Packages go from run to run through the store only. The image works on a private folder, which is
// filled before a transaction with what its index names, and looked through at the end, when no
// process of the image is left: each of its programs ends with all that it has started.

// Offer puts a file of the store into the session's downloads, at the path below them where the package
// manager looks for it. It is compared on the way; where it is not there the manager downloads it.
func (s *Session) Offer(d Digest, name string) error {
	if s.Store == nil || !s.Store.Has(d) {
		return nil
	}
	root, err := rootfs.New(s.Downloads())
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir("/"+name), 0o755); err != nil {
		return err
	}
	if err := s.Store.CopyTo(d, root, name); err != nil && !errors.Is(err, fs.ErrExist) {
		s.Machine.Log.Debug("a package of the cache is not used", "name", name, "error", err)
	}
	return nil
}

// Downloads is the folder in which the package manager of the image keeps what it downloads.
func (s *Session) Downloads() string { return s.Dir + "/cache" }

// keep takes those of the downloads into the store that this run's indexes name. That it fails is no
// reason to fail the run.
func (s *Session) keep() {
	if s.Store == nil || s.work == nil {
		return
	}
	if err := s.keepNamed(); err != nil {
		s.Machine.Log.Debug("downloads were not shared with other runs", "error", err)
	}
}

func (s *Session) keepNamed() error {
	root, err := rootfs.New(s.Downloads())
	if err != nil {
		return err
	}
	defer root.Close()
	found := map[Digest]string{}
	err = EachFile(root, "/", 4, func(name string, f *os.File) error {
		h := sha256.New()
		_, err := io.Copy(h, f)
		if d := Digest(h.Sum(nil)); !s.Store.Has(d) {
			found[d] = name
		}
		return err
	})
	if len(found) == 0 {
		return err
	}
	return errors.Join(err, s.work.Named(found, func(d Digest) error {
		f, err := root.Open(found[d], os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.Store.Add(d, f)
	}))
}

// EachFile opens the regular files of a folder and of those some levels below it.
func EachFile(root *rootfs.Root, dir string, levels int, use func(name string, f *os.File) error) error {
	entries, err := root.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() && levels > 0 {
			errs = append(errs, EachFile(root, name, levels-1, use))
		}
		if !e.Type().IsRegular() {
			continue
		}
		f, err := root.Open(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err == nil {
			err = errors.Join(use(name, f), f.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
