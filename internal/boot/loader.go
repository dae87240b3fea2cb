package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// Files is access to the files of an image by absolute path. Errors satisfy errors.Is with
// fs.ErrNotExist; WriteFile keeps mode and owner of a file that exists.
type Files interface {
	ReadFile(name string) ([]byte, error) // a text file
	ReadAs(k rootfs.Kind, name string) ([]byte, error)
	WriteFile(name string, data []byte, mode fs.FileMode) error
	ReadDir(name string) ([]fs.DirEntry, error)
}

// Loader is one way to boot an image. It knows where its configuration is, and reads it anew whenever it
// is asked.
type Loader interface {
	// Entries lists what the loader can start, and what else its configuration names.
	Entries(files Files) (*Menu, error)
	// Change changes the kernel arguments of every normal entry, and of what entries are made from, so that
	// those of later kernels have them too. The same change again changes nothing. What is left to do is in
	// the answer; Verify tells whether the arguments have arrived.
	Change(files Files, c Change) (Changed, error)
	// Replace changes the arguments in every entry itself, those for recovery too, and in nothing that
	// entries are made from: it is for arguments that are known only when the filesystem with /etc is
	// complete. Arguments of the names in c.Add are removed first, wherever they stand.
	Replace(files Files, c Change) error
	// Install sets the loader up from scratch.
	Install(ctx context.Context, t Target, s Setup) error
	// Lags says what of the entries does not fit the kernels in /boot, where Refresh could mend it; "" otherwise.
	Lags(files Files, kernels []Kernel) string
	// Refresh has the image make entries that fit the kernels in /boot. gone are kernels that a run removed.
	Refresh(ctx context.Context, t Target, gone []Kernel) error
}

// Change is what becomes of kernel arguments.
type Change struct {
	Add  []string // at the end, where they do not stand in this order already
	Drop []string // names of arguments that go
	Root string   // value of the argument root, for Replace; empty leaves it
}

// Command is a program of the image with its arguments, and further environment of it.
type Command struct{ Argv, Env []string }

// Changed is what a change did, and what is left to do.
type Changed struct {
	Files      []string // that were written
	Regenerate *Command // makes the entries; nil for nothing left to do
}

// loaders make a loader of each kind.
var loaders = map[Kind]func(Scheme) Loader{
	Mkconfig: func(s Scheme) Loader { return mkconfig{script{s}} },
	Legacy:   func(s Scheme) Loader { return handwritten{script{s}} },
	BLS:      func(s Scheme) Loader { return bls{s} },
	Systemd:  func(s Scheme) Loader { return systemdBoot{bls{s}} },
	UKI:      func(s Scheme) Loader { return unified{none{s}} },
}

// Loader is what the scheme says how to handle.
func (s Scheme) Loader() Loader {
	if of := loaders[s.Kind]; of != nil {
		return of(s)
	}
	return none{s}
}

// edit is the new content of a file.
type edit struct {
	name, text string
	mode       fs.FileMode // for a new file
}

// write writes those files that an edit changes.
func write(files Files, edits []edit) (written []string, err error) {
	for _, e := range edits {
		if old, err := files.ReadFile(e.name); err == nil && string(old) == e.text {
			continue
		}
		if err := files.WriteFile(e.name, []byte(e.text), e.mode); err != nil {
			return written, err
		}
		written = append(written, e.name)
	}
	return written, nil
}

// list returns the paths of a folder's files with a suffix, sorted by name; a folder that is not
// there has none.
func list(files Files, dir, suffix string) (paths []string) {
	entries, _ := files.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			paths = append(paths, path.Join(dir, e.Name()))
		}
	}
	return paths
}

// none is what boots an image that has nothing this program could change.
type none struct{ Scheme }

func (n none) Entries(Files) (*Menu, error) { return &Menu{}, nil }

func (n none) Change(Files, Change) (Changed, error) { return Changed{}, n.unsupported() }

func (n none) Replace(Files, Change) error { return n.unsupported() }

func (n none) Install(context.Context, Target, Setup) error { return n.unsupported() }

func (n none) Lags(Files, []Kernel) string { return "" }

func (n none) Refresh(context.Context, Target, []Kernel) error { return nil }

func (n none) unsupported() error { return errors.New(n.Unsupported()) }

// Verify looks whether every normal boot entry ends, name by name, with the arguments. It is what
// makes a run fail that would otherwise pass and drop them.
func Verify(files Files, s Scheme, args []string) error {
	entries, err := Normal(files, s)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("no boot entry was found (%s)", s)
	}
	for _, e := range entries {
		if missing := e.Args().Missing(args); len(missing) > 0 {
			return fmt.Errorf("%s:%d: this boot entry lacks the kernel argument %s, or a later one overrules it; if the entry was written by hand, add it there: %s",
				e.File, e.Line, missing[0], strings.TrimSpace(e.Text))
		}
		if n := e.length(); n > maxCmdline {
			return fmt.Errorf("%s:%d: the kernel arguments are %d bytes long; the kernel reads the first %d only", e.File, e.Line, n, maxCmdline)
		}
	}
	return nil
}

// maxCmdline is how long a kernel command line can be, in bytes (COMMAND_LINE_SIZE of x86 and
// arm64, less the final NUL). The kernel drops the rest without a word.
const maxCmdline = 2047

// Args returns the kernel arguments of the first normal boot entry. Variables that GRUB's
// configuration sets or loads are expanded.
func Args(files Files, s Scheme) ([]string, error) {
	entries, err := Normal(files, s)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return entries[0].Args(), nil
}

// Normal are the entries that boot this system as it should be: not those for recovery, and of a folder of
// entries those alone that stand there.
func Normal(files Files, s Scheme) ([]Entry, error) {
	if s.Unsupported() != "" {
		return nil, nil
	}
	m, err := s.Loader().Entries(files)
	if err != nil {
		return nil, err
	}
	return normalOf(files, s, m)
}

func normalOf(files Files, s Scheme, m *Menu) (found []Entry, err error) {
	for _, e := range m.Programs {
		if e.Unified {
			return nil, fmt.Errorf("%s boots a unified kernel image, whose arguments cannot be edited", e.File)
		}
	}
	for _, e := range m.Entries {
		if !e.Recovery && (s.Entries == "" || path.Dir(e.File) == s.Entries) && (s.own == nil || slices.Contains(s.own, e.File)) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return nil, m.onlyPrograms()
	}
	if s.own != nil {
		return found, nil
	}
	return Own(files, found), nil
}
