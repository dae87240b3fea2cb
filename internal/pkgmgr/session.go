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

// Work is where our files are seen in the image: on its tmpfs /run, so that none can stay.
const Work = "/run/imagecustomizer"

// Session is one run's use of the image's package manager.
type Session struct {
	Machine *machine.Machine
	Dir     string // of this session, on the scratch filesystem
	Store   *Store // what runs share; nil where there is none

	work  Transactions
	mgr   Manager
	along *Along // what is known of packages that go with others; nil where nothing is
	guard *guard
	undo  []func() error
}

// Open prepares sources and caches for the image's package manager, nil where it has none. Close must follow.
func Open(ctx context.Context, m *machine.Machine, mgr Manager, o Options) (s *Session, err error) {
	if mgr == nil {
		return nil, errors.New("the image has no package manager that this program knows")
	}
	scratch, err := m.Scratch()
	if err != nil {
		return nil, err
	}
	s = &Session{Machine: m, Dir: filepath.Join(scratch, "packages"), mgr: mgr, along: o.Along}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
			s = nil
		}
	}()
	for _, d := range []string{"cache", "lists", "parsed"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o755); err != nil {
			return s, err
		}
	}
	if err := m.Root.MkdirAll(Work, 0o755); err != nil {
		return s, err
	}
	if s.guard, err = newGuard(m, mgr); err != nil {
		return s, err
	}
	if m.Cache != "" {
		if s.Store, err = OpenStore(m.Cache); err != nil {
			return s, fmt.Errorf("package cache: %w", err)
		}
		s.Undo(s.Store.Close)
	}
	s.work, err = mgr.Begin(ctx, s, o)
	return s, err
}

// Undo has f called when the session is closed, in reverse order.
func (s *Session) Undo(f func() error) { s.undo = append(s.undo, f) }

// Bind shows a folder of the worker in the image until the session is closed.
func (s *Session) Bind(src, path string, readOnly bool) error {
	if !s.Machine.Root.Exists(path) {
		if err := s.Machine.Root.MkdirAll(path, 0o755); err != nil {
			return err
		}
		s.Undo(func() error { return s.Machine.Root.Remove(path) })
	}
	if err := s.Machine.Image.Bind(src, path, readOnly); err != nil {
		return err
	}
	s.Undo(func() error { return s.Machine.Image.Unbind(path) })
	return nil
}

// Refresh reads the indexes of all sources.
func (s *Session) Refresh(ctx context.Context) error { return s.work.Refresh(ctx) }

// Remove removes packages. One that is not installed is an error.
func (s *Session) Remove(ctx context.Context, names []string) error {
	absent, err := s.work.Missing(ctx, names)
	if err != nil {
		return err
	}
	if len(absent) > 0 {
		return fmt.Errorf("not installed: %s", strings.Join(absent, ", "))
	}
	if err := s.lookAlong(ctx, names); err != nil {
		return err
	}
	return s.work.Remove(ctx, names)
}

// lookAlong says which packages go with others, and refuses what no system does without.
func (s *Session) lookAlong(ctx context.Context, names []string) error {
	if s.along == nil || !s.along.Known {
		along, faults, err := removal{m: s.Machine, mgr: s.mgr, names: names, replaced: true}.look(ctx)
		switch {
		case err != nil:
			s.Machine.Log.Debug("what goes with the packages is not known", "error", err)
			return context.Cause(ctx)
		case len(faults) > 0:
			return errors.New(faults[0].Text)
		}
		s.along = &Along{true, along}
	}
	if len(s.along.Names) > 0 {
		s.Machine.Log.Info("these packages go with those that are removed", "packages", s.along.Names)
	}
	return nil
}

// UpdateAll updates every installed package.
func (s *Session) UpdateAll(ctx context.Context) error { return s.work.UpdateAll(ctx) }

// Install installs packages and makes sure that they are there.
func (s *Session) Install(ctx context.Context, names []string) error {
	return s.ensure(ctx, names, s.work.Install)
}

// Update updates packages and makes sure that they are there.
func (s *Session) Update(ctx context.Context, names []string) error {
	return s.ensure(ctx, names, s.work.Update)
}

func (s *Session) ensure(ctx context.Context, names []string, f func(context.Context, []string) error) error {
	if err := f(ctx, names); err != nil {
		return err
	}
	absent, err := s.work.Missing(ctx, names)
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
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}
