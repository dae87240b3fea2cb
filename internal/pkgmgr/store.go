package pkgmgr

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/tempfile"
)

// Digest is the SHA-256 of a file.
type Digest [sha256.Size]byte

func ParseDigest(text string) (d Digest, ok bool) {
	n, err := hex.Decode(d[:], []byte(text[:min(len(text), 2*len(d))]))
	return d, err == nil && n == len(d) && len(text) == 2*len(d)
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Store is a folder of files, each under the SHA-256 of its content. It is what runs share, and nothing
// of an image ever sees it: files are copied into it, and out of it, and what is copied is compared on
// the way. So a file can be wanted by another run for nothing but its content, whoever put it there.
type Store struct{ dir *os.File }

// ErrDamaged is a file of the store that is not what its name says.
var ErrDamaged = errors.New("a file of the package cache is damaged; it was removed")

func OpenStore(cache string) (*Store, error) {
	path := filepath.Join(cache, "sha256")
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &Store{f}, nil
}

func (s *Store) Close() error { return s.dir.Close() }

// regular opens a file for reading that is no link, and refuses what is not a plain file.
func regular(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, f.Close(), &fs.PathError{Op: "open", Path: name, Err: errors.New("it is not a regular file")})
	}
	return f, nil
}

// Has tells whether there is such a file, be it damaged or not.
func (s *Store) Has(d Digest) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(s.dir.Fd()), d.String(), &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// Empty tells whether there is nothing to have from it.
func (s *Store) Empty() bool {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", s.dir.Fd()))
	if err != nil {
		return true
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) == 0
}

// Read gives use a file. What it made of that counts only where Read returns nil: a file that proves
// damaged is removed, so that it can be had again.
func (s *Store) Read(d Digest, use func(io.Reader) error) error {
	f, err := regular(s.dir, d.String())
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	r := io.TeeReader(f, h)
	if err := use(r); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if Digest(h.Sum(nil)) == d {
		return nil
	}
	if err := unix.Unlinkat(int(s.dir.Fd()), d.String(), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return ErrDamaged
}

// CopyTo makes a new file below a root of a file of the store; it is gone again if that proves damaged.
func (s *Store) CopyTo(d Digest, root *rootfs.Root, name string) error {
	out, err := root.Create(name, 0o644)
	if err != nil {
		return err
	}
	err = s.Read(d, func(r io.Reader) error {
		_, err := io.Copy(out, r)
		return err
	})
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return nil
}

// Add takes what r yields in, if it is what d says. One that is there already is not replaced.
func (s *Store) Add(d Digest, r io.Reader) error {
	out, err := tempfile.Create(s.dir)
	if err != nil {
		return err
	}
	defer out.Discard()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), r); err != nil {
		return err
	}
	if got := Digest(h.Sum(nil)); got != d {
		return fmt.Errorf("its SHA-256 is %s, not %s", got, d)
	}
	if err := out.PublishNew(d.String()); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
