package initramfs

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"time"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// settings are files of the image that are other than its own for a time.
type settings struct {
	m      *machine.Machine
	files  []setting
	folder []string // made for them
}

type setting struct {
	name         string
	before, ours []byte
	absent       bool // there was no such file
	time         time.Time
}

// write puts text into a file.
func (s *settings) write(name string, text []byte) error {
	before, err := s.m.Root.ReadFile(name)
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return err
	}
	f := setting{name: name, before: before, ours: text, absent: absent}
	if fi, err := s.m.Root.Stat(name); err == nil {
		f.time = fi.ModTime()
	}
	if dir := path.Dir(name); !s.m.Root.Exists(dir) {
		if err := s.m.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		s.folder = append(s.folder, dir)
	}
	if err := s.m.Root.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	s.files = append(s.files, f)
	return nil
}

// replace replaces settings in a file that is there.
func (s *settings) replace(name string, edits []edit) error {
	text, err := s.m.Root.ReadFile(name)
	if err != nil {
		return nil // nothing that a builder could read either
	}
	changed := text
	for _, e := range edits {
		changed = e.find.ReplaceAll(changed, []byte(e.with))
	}
	if bytes.Equal(changed, text) {
		return nil
	}
	return s.write(name, changed)
}

// restore gives every file its own content back, but for those that were changed since, which stay.
func (s *settings) restore() error {
	var errs []error
	for _, f := range s.files {
		if now, err := s.m.Root.ReadFile(f.name); err != nil || !bytes.Equal(now, f.ours) {
			continue
		}
		if f.absent {
			errs = append(errs, s.m.Root.Remove(f.name))
			continue
		}
		errs = append(errs, s.m.Root.WriteFile(f.name, f.before, 0o644), s.setTime(f))
	}
	for _, dir := range s.folder {
		if entries, err := s.m.Root.ReadDir(dir); err == nil && len(entries) == 0 {
			errs = append(errs, s.m.Root.Remove(dir))
		}
	}
	s.files, s.folder = nil, nil
	return errors.Join(errs...)
}

func (s *settings) setTime(f setting) error {
	return s.m.Root.Chtimes(f.name, f.time)
}

// FitAny edits a copy of initramfs-tools' configuration, in a folder of ours, so that an image made with it fits
// any machine.
func FitAny(root *rootfs.Root, dir string) error {
	m := &machine.Machine{Root: root}
	copied := settings{m: m}
	for _, b := range builders {
		for _, name := range []string{"initramfs.conf", "conf.d"} {
			for _, f := range (builder{settings: []string{path.Join(dir, name)}}).files(m) {
				if err := copied.replace(f, b.machine); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
