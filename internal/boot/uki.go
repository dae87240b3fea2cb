package boot

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/uki"
)

// unified are unified kernel images that systemd-boot finds. Their arguments are in sections of theirs, and in those of
// add-ons beside them.
type unified struct{ none }

// Entries lists the images that lie where systemd-boot looks for them.
func (u unified) Entries(files Files) (*Menu, error) {
	m := &Menu{}
	for _, esp := range espDirs {
		for _, name := range list(files, esp+ukiDir, ".efi") {
			e, err := UnifiedEntry(files, esp, name)
			if err != nil {
				return nil, err
			}
			m.Entries = append(m.Entries, e)
		}
	}
	return m, nil
}

// UnifiedEntry is what an image on the filesystem at esp says of itself, with the arguments of its add-ons behind its own.
func UnifiedEntry(files Files, esp, name string) (Entry, error) {
	self := Ref{File: name, Place: Place{Path: strings.TrimPrefix(name, esp)}}
	e := Entry{File: name, Unified: true, Kernel: self}
	e.ID, e.Tries = EntryID(name)
	err := withImage(files, name, func(i uki.Image) error {
		e.Version = strings.TrimSpace(i.Text(".uname"))
		if i.Has(".initrd") {
			e.Initrds = []Ref{self}
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	places, err := argumentPlaces(files, esp, e)
	for _, p := range places {
		e.Text = strings.TrimSpace(e.Text + " " + p.text)
		e.Arguments = append(e.Arguments, ArgumentsAt(p.args, Origin{File: p.file, Variable: ".cmdline"})...)
	}
	return e, err
}

// argumentPlace is a program with kernel arguments: an image itself, or an add-on.
type argumentPlace struct {
	file, text string
	args       kargs.Cmdline
	signed     bool
}

// globalAddons is where add-ons for all images lie.
const globalAddons = "/loader/addons"

// argumentPlaces lists what an image gets its arguments of, in the order in which the stub joins them. An add-on for
// another kernel is passed over by the stub, without a word.
func argumentPlaces(files Files, esp string, e Entry) (found []argumentPlace, err error) {
	names := []string{e.File}
	names = append(names, list(files, esp+globalAddons, ".addon.efi")...)
	names = append(names, list(files, AddonDir(e.File), ".addon.efi")...)
	for _, name := range names {
		err := withImage(files, name, func(i uki.Image) error {
			if v := strings.TrimSpace(i.Text(".uname")); v != "" && e.Version != "" && v != e.Version {
				return nil
			}
			p := argumentPlace{file: name, text: strings.TrimSpace(i.Text(".cmdline")), signed: i.Signed()}
			var err error
			if p.args, err = kargs.Split(p.text); err != nil {
				return fmt.Errorf("its kernel arguments: %w", err)
			}
			found = append(found, p)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// AddonDir is the folder with what belongs to an image alone.
func AddonDir(file string) string { return file + ".extra.d" }

// withImage reads a unified kernel image or an add-on.
func withImage(files Files, name string, f func(uki.Image) error) error {
	r, closes, err := OpenProgram(files, name)
	if err != nil {
		return err
	}
	defer closes()
	i, err := uki.Read(r)
	if err == nil {
		err = f(i)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// OpenProgram opens a program of any size, without reading it into memory where that can be.
func OpenProgram(files Files, name string) (*io.SectionReader, func(), error) {
	if o, ok := files.(interface {
		Open(name string, flags int, mode fs.FileMode) (*os.File, error)
	}); ok {
		f, err := o.Open(name, os.O_RDONLY, 0)
		if err != nil {
			return nil, nil, err
		}
		fi, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return io.NewSectionReader(f, 0, fi.Size()), func() { f.Close() }, nil
	}
	data, err := files.ReadAs(rootfs.UnifiedImage, name)
	return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), func() {}, err
}

// own are the images of this system, those alone that WithOwn has found where it was asked.
func (u unified) own(files Files) ([]Entry, error) {
	m, err := u.Entries(files)
	if err != nil {
		return nil, err
	}
	return normalOf(files, u.Scheme, m)
}

// WithOwn is the scheme with a list of the unified kernel images that are this system's, for when what tells is not
// there any more.
func (s Scheme) WithOwn(files Files) (Scheme, error) {
	if s.Kind != UKI {
		return s, nil
	}
	own, err := unified{none{s}}.own(files)
	s.own = []string{}
	for _, e := range own {
		s.own = append(s.own, e.File)
	}
	return s, err
}

// Change changes the arguments of this system's images, and those of later ones.
func (u unified) Change(files Files, c Change) (done Changed, err error) {
	own, err := u.own(files)
	if err != nil {
		return done, err
	}
	later, err := cmdlineEdit(files, c, false)
	if err != nil {
		return done, err
	}
	for _, e := range own {
		have := Change{Drop: c.Drop}.dropped(e.all())
		written, err := u.rewrite(files, e, Change{Add: have.Missing(c.Add), Drop: c.Drop})
		if done.Files = append(done.Files, written...); err != nil {
			return done, err
		}
	}
	written, err := write(files, later)
	done.Files = append(done.Files, written...)
	return done, err
}

// Replace changes the arguments of this system's images alone.
func (u unified) Replace(files Files, c Change) error {
	own, err := u.own(files)
	if err != nil {
		return err
	}
	for _, n := range c.all() {
		c.Drop = append(slices.Clip(c.Drop), kargs.Name(n))
	}
	for _, e := range own {
		if _, err := u.rewrite(files, e, Change{Add: c.all(), Drop: c.Drop}); err != nil {
			return err
		}
	}
	return Verify(files, u.Scheme, c.all())
}

// rewrite takes arguments of some names out wherever an image gets them from, in all its profiles, and adds others at
// the place that is for arguments: the add-on of the image's name, the image itself, or its last add-on.
func (u unified) rewrite(files Files, e Entry, c Change) (written []string, err error) {
	places, err := argumentPlaces(files, espOf(e.File), e)
	if err != nil {
		return nil, err
	}
	to := addTo(e, places)
	for _, p := range places {
		add := c.Add
		if p.file != to {
			add = nil
		}
		data, err := rewritten(files, p.file, Change{Add: add, Drop: c.Drop})
		if err != nil || data == nil {
			if err != nil {
				return written, err
			}
			continue
		}
		if p.signed {
			return written, fmt.Errorf("%s is signed, and other kernel arguments would break the signature", p.file)
		}
		if err := files.WriteFile(p.file, data, 0o644); err != nil {
			return written, err
		}
		written = append(written, p.file)
	}
	return written, nil
}

// addTo is the file that gets further arguments.
func addTo(e Entry, places []argumentPlace) string {
	own := OwnAddon(e.File)
	switch last := places[len(places)-1]; {
	case slices.ContainsFunc(places, func(p argumentPlace) bool { return p.file == own }):
		return own
	case places[0].text == "" && path.Dir(last.file) == AddonDir(e.File):
		return last.file
	}
	return e.File
}

// OwnAddon is the add-on in which the arguments of an image are, where they are not in the image itself.
func OwnAddon(file string) string {
	name, _ := withoutCounter(strings.TrimSuffix(path.Base(file), ".efi"))
	return path.Join(AddonDir(file), name+".addon.efi")
}

// rewritten is a program with other arguments; nil where they are the same.
func rewritten(files Files, name string, c Change) (data []byte, err error) {
	err = withImage(files, name, func(i uki.Image) error {
		var failed error
		changes := false
		change := func(_, text string) string {
			args, err := kargs.Split(text)
			more := slices.Concat(Change{Drop: c.Drop}.dropped(args), c.Add)
			joined := strings.TrimSpace(text)
			if !slices.Equal(args, more) {
				changes = true
				var why error
				joined, why = kargs.Plain.Join(more)
				err = cmp.Or(err, why)
			}
			failed = cmp.Or(failed, err)
			return joined
		}
		built, err := i.WithCmdline(change)
		if err = cmp.Or(failed, err); err != nil || !changes {
			return err
		}
		data = make([]byte, built.Size)
		_, err = io.ReadFull(built, data)
		return err
	})
	return data, err
}

// espOf is where the filesystem with an image is mounted.
func espOf(file string) string { return strings.TrimSuffix(path.Dir(file), ukiDir) }

// Install puts systemd-boot in place, and says what arguments images get: they are made at the end of the run.
func (u unified) Install(_ context.Context, t Target, s Setup) error {
	if err := s.InstallSystemdBoot(t); err != nil {
		return err
	}
	if err := t.Root.MkdirAll(path.Dir(kernelCmdline), 0o755); err != nil {
		return err
	}
	text, err := kargs.Plain.Join(slices.Concat([]string{"root=" + s.Root, "ro"}, s.RootFlags, s.SELinux, s.Args))
	if err != nil {
		return err
	}
	_, err = write(t.Root, []edit{{kernelCmdline, text + "\n", 0o644}})
	return err
}
