package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/tempfile"
)

// Pending is an output file that has no name yet: its folder is known, its content is being written.
// It disappears with the last process that has it open, whatever ends that process, until Publish
// names it.
type Pending struct {
	file  *tempfile.File
	dir   *os.File // folder, kept open so that renaming it or changing directory does not matter
	name  string   // final name in dir
	path  string   // final path as the user gave it, for messages
	made  []string // folders made for it, outermost first
	owner owner

	original *Original // that it replaces, with its attributes

	keep     bool // an older file is never replaced
	replaces bool // an older file had the name when the output was made
	isFolder bool
	folder   *tempfile.Folder // unpacked, waiting for its name
}

// Create makes an empty output to be published as path. Its folder is made if need be. Where keep is set,
// publishing fails if the name is taken; otherwise the older file is replaced. That path is no input of the
// run, and no other output of it, is the caller's to check.
func Create(path string, keep bool) (*Pending, error) {
	p := &Pending{path: path, owner: caller(), keep: keep}
	if err := p.create(); err != nil {
		p.Discard()
		return nil, fmt.Errorf("cannot write the output %q: %w", path, err)
	}
	return p, nil
}

func (p *Pending) create() error {
	target, err := followLinks(p.path)
	if err != nil {
		return err
	}
	if p.isFolder {
		err = checkFolder(target)
	} else {
		p.replaces, err = checkTarget(target)
	}
	if err != nil {
		return err
	}
	folder := filepath.Dir(target)
	p.name = filepath.Base(target)
	if p.made, err = makeFolders(folder, p.owner); err != nil {
		return fmt.Errorf("cannot make its folder: %w", err)
	}
	if p.dir, err = os.OpenFile(folder, unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	p.file, err = tempfile.Create(p.dir)
	if err != nil {
		return fmt.Errorf("cannot create a file in the folder %q: %w", folder, err)
	}
	return nil
}

// File is the output, open for reading and writing. It is closed by Publish and Discard.
func (p *Pending) File() *os.File { return p.file.File }

// Path is where the output will appear, as the user gave it.
func (p *Pending) Path() string { return p.path }

// Replaces tells whether an older file has the output's name, or had it before it was published.
func (p *Pending) Replaces() bool { return p.replaces }

// Publish syncs the outputs, then gives each its name, in the order given, replacing older files of
// those names at once. Before the first name is given, all content is on the disk. Where it fails,
// those not yet named are discarded and none is left half written.
func Publish(outputs ...*Pending) error {
	defer func() {
		for _, p := range outputs {
			p.Discard()
		}
	}()
	for _, p := range outputs {
		if err := p.finish(); err != nil {
			return fmt.Errorf("cannot finish the output %q: %w", p.path, explain(err, sandbox.Path(p.dir)))
		}
	}
	for _, p := range outputs {
		if err := p.giveName(); err != nil {
			return fmt.Errorf("cannot give the output its name %q: %w", p.path, err)
		}
	}
	return nil
}

// finish hands the file to the user who called sudo and syncs it.
func (p *Pending) finish() error {
	if p.isFolder {
		return p.unpack()
	}
	own := p.owner.chown
	if p.original != nil {
		own = p.original.finish
	}
	if err := own(p.file.File); err != nil {
		return err
	}
	return p.file.Sync()
}

func (p *Pending) giveName() error {
	publish := p.file.Publish
	if p.keep {
		publish = p.file.PublishNew
	}
	if p.isFolder {
		publish = p.folder.Publish
	}
	if p.original != nil {
		if err := p.original.ready(); err != nil {
			return err
		}
	}
	if err := publish(p.name); err != nil {
		return err
	}
	p.made = nil
	return p.dir.Sync()
}

// Discard forgets an output that was not published, and the folders made for it. After Publish it
// does nothing.
func (p *Pending) Discard() {
	if p.file != nil {
		p.file.Discard()
	}
	if p.folder != nil {
		p.folder.Discard()
	}
	if p.dir != nil {
		_ = p.dir.Close()
	}
	for i := len(p.made) - 1; i >= 0; i-- {
		_ = unix.Rmdir(p.made[i]) // fails where someone else uses it by now
	}
	p.file, p.folder, p.dir, p.made = nil, nil, nil, nil
}

// followLinks resolves path while its last component is a symbolic link, so that the file behind the
// link is replaced and the link stays.
func followLinks(path string) (string, error) {
	const kernelLimit = 40
	for range kernelLimit {
		link, err := os.Readlink(path)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		}
		if err := trusted(path); err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return "", unix.ELOOP
}

// trusted refuses a link that somebody else has put into a folder such as /tmp, where it may wait for what
// root writes. The kernel does so too where fs.protected_symlinks is set, but not for who follows it himself.
func trusted(path string) error {
	var link, dir unix.Stat_t
	if err := errors.Join(unix.Lstat(path, &link), unix.Stat(filepath.Dir(path), &dir)); err != nil {
		return err
	}
	const everyones = unix.S_ISVTX | unix.S_IWOTH
	if dir.Mode&everyones != everyones || link.Uid == dir.Uid || int(link.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%s is a link that another user has put into a folder that everyone can write to: name the file itself", path)
}

// checkTarget refuses a name that no file can take, and tells whether one has it.
func checkTarget(target string) (exists bool, err error) {
	fi, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist) && target[len(target)-1] != '/':
		return false, nil
	case err == nil && fi.IsDir(), errors.Is(err, fs.ErrNotExist):
		return false, errors.New("it is a directory: name a file in it")
	case err == nil && !fi.Mode().IsRegular():
		return false, errors.New("it exists and is not a regular file: write to a file, then copy it there")
	}
	return err == nil, err
}

// makeFolders makes a folder and its parents, owned by o, and returns those it made.
func makeFolders(path string, o owner) (made []string, err error) {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return nil, nil
	}
	if parent := filepath.Dir(path); parent != path {
		if made, err = makeFolders(parent, o); err != nil {
			return made, err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return made, err
	}
	return append(made, path), o.lchown(path)
}
