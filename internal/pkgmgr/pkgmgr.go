// Package pkgmgr uses the package manager of an image: tdnf, dnf or apt, run inside the image with
// sources and caches that leave no trace there.
package pkgmgr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/machine"
)

// SourceKind is what a source of packages is.
type SourceKind int

// Kinds of sources.
const (
	PackageDir SourceKind = iota // folder of .rpm or .deb files
	RepoFile                     // .repo file of yum, dnf and tdnf
	AptFile                      // .list or .sources file of apt
)

// Source is one place packages come from besides the image's own repositories.
type Source struct {
	Path string // absolute, on the build host
	Kind SourceKind
}

// CheckSource tells what kind of source a path is.
func CheckSource(path string) (Source, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Source{}, fmt.Errorf("package source: %w", err)
	}
	kinds := map[string]SourceKind{".repo": RepoFile, ".list": AptFile, ".sources": AptFile}
	kind, known := kinds[filepath.Ext(path)]
	switch {
	case fi.IsDir():
		return Source{path, PackageDir}, nil
	case known && fi.Mode().IsRegular():
		return Source{path, kind}, nil
	}
	return Source{}, fmt.Errorf("package source %s is neither a folder of packages nor a .repo, .list or .sources file", path)
}

// Options are the sources of a session.
type Options struct {
	Sources     []Source // a later one beats an earlier one, and all beat the image's own
	NoBaseRepos bool     // leave the image's own repositories out
	Debconf     []string // lines for debconf-set-selections(1)
	Indexes     *Indexes // what Check reads for the sessions of the same run; nil keeps nothing
}

// Check looks for everything wrong with the sources of a session and with what it is to do, and changes
// nothing. Install, update and remove are the names of packages.
func Check(ctx context.Context, m *machine.Machine, o Options, install, update, remove []string) []Fault {
	switch m.Facts.PackageManager {
	case "tdnf", "dnf":
		return checkRPM(m, o, install, update, remove)
	case "apt":
		return checkApt(ctx, m, o, install, update, remove)
	}
	return nil
}

// NoRoom is the error of a transaction that does not fit, and was not begun.
type NoRoom struct {
	Missing uint64 // bytes, on the filesystem of /usr
	Err     error
}

func (e *NoRoom) Error() string { return e.Err.Error() }

// Unwrap returns what the package manager said.
func (e *NoRoom) Unwrap() error { return e.Err }

// manager is one package manager. Its methods do one transaction each.
type manager interface {
	refresh(ctx context.Context) error
	remove(ctx context.Context, names []string) error
	updateAll(ctx context.Context) error
	install(ctx context.Context, names []string) error
	update(ctx context.Context, names []string) error
	// missing returns those of the names that are not installed.
	missing(ctx context.Context, names []string) ([]string, error)
	// owns tells whether a package brought the file.
	owns(ctx context.Context, path string) bool
	// named calls f for those of the files that an index of this run names, where that index is one that
	// no program of the image can have written.
	named(files map[digest]string, f func(digest) error) error
}

// work is where our files are seen in the image: on its tmpfs /run, so that none can stay.
const work = "/run/imagecustomizer"

// Session is one run's use of the image's package manager.
type Session struct {
	m     *machine.Machine
	mgr   manager
	guard *guard
	store *store // what runs share; nil where there is none
	undo  []func() error
	dir   string // of this session, on the scratch filesystem
}

// Open prepares sources and caches for the image's package manager. Close must follow.
func Open(ctx context.Context, m *machine.Machine, o Options) (s *Session, err error) {
	scratch, err := m.Scratch()
	if err != nil {
		return nil, err
	}
	s = &Session{m: m, dir: filepath.Join(scratch, "packages")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
			s = nil
		}
	}()
	for _, d := range []string{"cache", "lists", "parsed"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return s, err
		}
	}
	if err := m.Root.MkdirAll(work, 0o755); err != nil {
		return s, err
	}
	if s.guard, err = newGuard(m); err != nil {
		return s, err
	}
	if m.Cache != "" {
		if s.store, err = openStore(m.Cache); err != nil {
			return s, fmt.Errorf("package cache: %w", err)
		}
		s.undo = append(s.undo, s.store.close)
	}
	switch m.Facts.PackageManager {
	case "tdnf", "dnf":
		s.mgr, err = newRPM(ctx, s, o)
	case "apt":
		s.mgr, err = newApt(ctx, s, o)
	default:
		err = errors.New("the image has no package manager that this program knows (tdnf, dnf, apt)")
	}
	if err == nil {
		s.guard.owned = s.mgr.owns
	}
	return s, err
}

// bind shows a folder of the worker in the image until the session is closed.
func (s *Session) bind(src, path string, readOnly bool) error {
	if !s.m.Root.Exists(path) {
		if err := s.m.Root.MkdirAll(path, 0o755); err != nil {
			return err
		}
		s.undo = append(s.undo, func() error { return s.m.Root.Remove(path) })
	}
	if err := s.m.Image.Bind(src, path, readOnly); err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { return s.m.Image.Unbind(path) })
	return nil
}

// Refresh reads the indexes of all sources.
func (s *Session) Refresh(ctx context.Context) error { return s.mgr.refresh(ctx) }

// Remove removes packages. One that is not installed is an error.
func (s *Session) Remove(ctx context.Context, names []string) error {
	absent, err := s.mgr.missing(ctx, names)
	if err != nil {
		return err
	}
	if len(absent) > 0 {
		return fmt.Errorf("not installed: %s", strings.Join(absent, ", "))
	}
	return s.mgr.remove(ctx, names)
}

// UpdateAll updates every installed package.
func (s *Session) UpdateAll(ctx context.Context) error { return s.mgr.updateAll(ctx) }

// Install installs packages and makes sure that they are there.
func (s *Session) Install(ctx context.Context, names []string) error {
	return s.ensure(ctx, names, s.mgr.install)
}

// Update updates packages and makes sure that they are there.
func (s *Session) Update(ctx context.Context, names []string) error {
	return s.ensure(ctx, names, s.mgr.update)
}

func (s *Session) ensure(ctx context.Context, names []string, f func(context.Context, []string) error) error {
	if err := f(ctx, names); err != nil {
		return err
	}
	absent, err := s.mgr.missing(ctx, names)
	if err == nil && len(absent) > 0 {
		err = fmt.Errorf("the package manager reported success, but these are not installed: %s", strings.Join(absent, ", "))
	}
	return err
}

// Close takes everything of ours out of the image and keeps what was downloaded for other runs.
func (s *Session) Close(ctx context.Context) error {
	var errs []error
	s.keep()
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i]())
	}
	s.undo = nil
	if s.guard != nil {
		errs = append(errs, s.guard.restore(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
