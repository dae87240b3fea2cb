package output

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/tempfile"
)

// CreateFolder is Create for an output that is a folder. What is written to its file is a tar archive
// of the folder's content, which Publish unpacks. Its name must be free, or that of an empty folder.
func CreateFolder(path string) (*Pending, error) {
	p := &Pending{path: path, owner: caller(), isFolder: true}
	if err := p.create(); err != nil {
		p.Discard()
		return nil, fmt.Errorf("cannot write the output %q: %w", path, err)
	}
	return p, nil
}

// checkFolder refuses a name that something has which would be lost.
func checkFolder(target string) error {
	entries, err := os.ReadDir(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return errors.New("it exists and is not a folder: choose another name")
	case err == nil && len(entries) > 0:
		return errors.New("the folder is not empty: remove it, or choose another name")
	}
	return err
}

// unpack fills the folder from the archive, under a name for the time being.
func (p *Pending) unpack() (err error) {
	if p.folder, err = tempfile.CreateFolder(p.dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.folder.Path())
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := tar.NewReader(&eater{file: p.file.File})
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = unpackEntry(root, h, r)
		}
		if err != nil {
			return fmt.Errorf("unpack the archive: %w", err)
		}
	}
	if err := p.own(); err != nil {
		return err
	}
	return unix.Syncfs(int(p.folder.Fd()))
}

// eater frees what it has read of a file, so that a folder and its archive take no more space than one of them.
type eater struct {
	file        *os.File
	read, freed int64
}

func (e *eater) Read(p []byte) (int, error) {
	const unit = 16 << 20
	n, err := e.file.Read(p)
	e.read += int64(n)
	if e.read-e.freed >= unit { // a filesystem that cannot takes more space, and that is all
		_ = unix.Fallocate(int(e.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, e.freed, e.read-e.freed)
		e.freed = e.read
	}
	return n, err
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode).Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%s is of an unexpected kind, %c", h.Name, h.Typeflag)
}

// own hands everything in the folder to the user who called sudo.
func (p *Pending) own() error {
	return filepath.WalkDir(p.folder.Path(), func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return p.owner.lchown(name)
	})
}
