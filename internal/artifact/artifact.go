// Package artifact takes what is to be signed out of an image, with the list of where each file came from, by which
// the signed files are put back.
package artifact

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/rootfs"
)

// Kind is what an artifact is to whoever signs it.
type Kind string

// The kinds of artifacts.
const (
	UKIs       Kind = "ukis"
	Addons     Kind = "uki-addons"
	Shim       Kind = "shim"
	Loader     Kind = "bootloader"
	VerityHash Kind = "verity-hash"
)

// Values lists the kinds.
func (Kind) Values() []string {
	return []string{string(UKIs), string(Addons), string(Shim), string(Loader), string(VerityHash)}
}

// File is an artifact and its place in an image.
type File struct {
	Kind        Kind
	Partition   string // its PARTUUID
	Destination string // absolute path on that partition
	Source      string // path below the directory of artifacts; several files may have one, where they are the same

	Content []byte // of the file, where it is no program on the EFI system partition
}

// ListName is the name of the list of where artifacts came from.
const ListName = "inject-files.yaml"

// OnESP are the programs of these kinds on an EFI system partition, by which the image starts on that architecture, as
// uname -m says it. Copies of one program have one source.
func OnESP(esp *rootfs.Root, partition, arch string, kinds []Kind) ([]File, error) {
	all, err := chain.Programs(esp)
	if err != nil {
		return nil, err
	}
	f := finder{all: all, partition: partition}
	first := chain.First(all, arch)
	for _, k := range kinds {
		switch k {
		case UKIs, Addons:
			if err := f.unified(k == UKIs); err != nil {
				return nil, err
			}
		case Shim:
			if err := f.shim(first); err != nil {
				return nil, err
			}
		case Loader:
			if err := f.loader(first); err != nil {
				return nil, err
			}
		}
	}
	return f.found, nil
}

type finder struct {
	all       []chain.Program
	partition string
	found     []File
}

func (f *finder) add(k Kind, p chain.Program, source string) {
	one := File{Kind: k, Partition: f.partition, Destination: p.Path, Source: source}
	if !slices.ContainsFunc(f.found, func(o File) bool { return o.Destination == one.Destination }) {
		f.found = append(f.found, one)
	}
}

// unified adds the add-ons of unified kernel images and, where asked, these themselves.
func (f *finder) unified(whole bool) error {
	some := false
	for _, p := range f.all {
		if p.Kind != chain.UKI || !strings.EqualFold(path.Dir(p.Path), "/EFI/Linux") {
			continue
		}
		some = true
		if whole {
			f.add(UKIs, p, path.Join(string(UKIs), path.Base(p.Path)))
		}
		for _, a := range chain.AddonsOf(f.all, p) {
			f.add(Addons, a, path.Join(string(UKIs), path.Base(path.Dir(a.Path)), path.Base(a.Path)))
		}
	}
	if !some {
		return errors.New("there is no unified kernel image in EFI/Linux of the EFI system partition")
	}
	return nil
}

// errNoFirst is an image in which firmware finds nothing.
var errNoFirst = errors.New("there is no program on the EFI system partition that firmware starts by itself")

func (f *finder) shim(first *chain.Program) error {
	switch {
	case first == nil:
		return errNoFirst
	case first.Kind != chain.Shim:
		return fmt.Errorf("firmware starts %s, which is no shim: ask for the artifact %q", first.Path, Loader)
	}
	f.program(Shim, *first)
	return nil
}

// loader adds what shim starts or, without a shim, what firmware does.
func (f *finder) loader(first *chain.Program) error {
	if first == nil {
		return errNoFirst
	}
	loader := first
	if first.Kind == chain.Shim {
		if loader = chain.Second(f.all, *first); loader == nil {
			return fmt.Errorf("there is no boot loader beside %s that it could start", first.Path)
		}
	}
	f.program(Loader, *loader)
	return nil
}

// program adds a program and all its copies.
func (f *finder) program(k Kind, p chain.Program) {
	source := path.Join(string(k), path.Base(p.Path))
	f.add(k, p, source)
	for _, c := range chain.Copies(f.all, p) {
		f.add(k, c, source)
	}
}

// Write writes a tar archive of the artifacts and their list. esp is nil where none of them lies there.
func Write(out io.Writer, esp *rootfs.Root, files []File, now time.Time) error {
	w := &archive{Writer: tar.NewWriter(out), now: now, dirs: map[string]bool{".": true}}
	done := map[string]bool{}
	for _, f := range files {
		if done[f.Source] {
			continue
		}
		done[f.Source] = true
		if err := w.file(esp, f); err != nil {
			return fmt.Errorf("%s: %w", f.Destination, err)
		}
	}
	return cmp.Or(w.bytes(ListName, List(files)), w.Close())
}

type archive struct {
	*tar.Writer
	now  time.Time
	dirs map[string]bool
}

func (a *archive) file(esp *rootfs.Root, f File) error {
	if f.Kind == VerityHash {
		return a.bytes(f.Source, f.Content)
	}
	return esp.WithFile(f.Destination, func(file *os.File) error {
		fi, err := file.Stat()
		if err != nil {
			return err
		}
		if err := a.head(f.Source, fi.Size()); err != nil {
			return err
		}
		_, err = io.Copy(a, file)
		return err
	})
}

func (a *archive) bytes(name string, content []byte) error {
	if err := a.head(name, int64(len(content))); err != nil {
		return err
	}
	_, err := a.Writer.Write(content)
	return err
}

// head begins a file, after the directories that it lies in.
func (a *archive) head(name string, size int64) error {
	for i, c := range name {
		if c != '/' || a.dirs[name[:i]] {
			continue
		}
		a.dirs[name[:i]] = true
		if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name[:i], Mode: 0o755, ModTime: a.now}); err != nil {
			return err
		}
	}
	return a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: a.now})
}
