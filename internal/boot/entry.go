package boot

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
)

// Place is a file as a boot loader names it: by its path in a filesystem.
type Place struct {
	Device string // UUID=..., LABEL=..., hd0,gpt2 or file:PATH; empty for the filesystem that the configuration lies on
	Path   string
}

// Ref is something that a line of a boot configuration names.
type Ref struct {
	File  string
	Line  int // from 1
	Place Place
	Unset string // a variable of the path that nothing sets
}

// Entry is a boot entry: the files that its boot loader reads, and the kernel's arguments.
type Entry struct {
	ID        string // by which the loader's settings name it; empty where they name it by its place
	Title     string
	File      string // that it stands in
	Line      int    // of the kernel's arguments
	Text      string // as the arguments are written there
	Recovery  bool   // for mending a system; it keeps its own arguments
	Tries     string // boots that are left to try it, where they are counted
	Unified   bool   // kernel, initramfs and arguments are in one file
	Version   string // of the kernel, where the entry says it
	Kernel    Ref
	Initrds   []Ref
	Arguments []Argument
}

// Argument is one argument of a kernel, and where it is set.
type Argument struct {
	Text   string
	Origin Origin
}

// Origin is a place that sets kernel arguments.
type Origin struct {
	File     string
	Line     int    // from 1; 0 in files without lines
	Variable string // of GRUB, or section of an EFI program; empty for the entry itself
}

// Args are the arguments for the kernel: those behind -- are for init.
func (e Entry) Args() (args kargs.Cmdline) {
	for _, a := range e.Arguments {
		if a.Text == "--" {
			break
		}
		args = append(args, a.Text)
	}
	return args
}

// all are all arguments, those for init too.
func (e Entry) all() (args kargs.Cmdline) {
	for _, a := range e.Arguments {
		args = append(args, a.Text)
	}
	return args
}

// length is that of all arguments as the kernel gets them, but for quotes.
func (e Entry) length() int {
	return len(strings.Join(e.all(), " "))
}

// loads tells whether an entry loads an initramfs of that name.
func (e Entry) loads(name string) bool {
	return slices.ContainsFunc(e.Initrds, func(r Ref) bool { return path.Base(r.Place.Path) == name })
}

// Menu is everything that the configuration of a boot loader names.
type Menu struct {
	Entries  []Entry // that boot Linux
	Programs []Entry // that start another EFI program, or a unified kernel image by its path
	Searches []Ref   // filesystems that GRUB looks for; Place.Path is empty
	Configs  []Ref   // configurations that GRUB goes on with
}

// onlyPrograms says why arguments cannot be changed where entries start EFI programs alone.
func (m *Menu) onlyPrograms() error {
	if len(m.Programs) == 0 {
		return nil
	}
	return fmt.Errorf("%s boots an EFI program, whose arguments cannot be edited, and no other entry boots Linux", m.Programs[len(m.Programs)-1].File)
}

// ArgumentsAt makes arguments that are set at one place.
func ArgumentsAt(args []string, at Origin) (found []Argument) {
	for _, a := range args {
		found = append(found, Argument{a, at})
	}
	return found
}

// Stale tells what of the kernels in /boot a menu does not have, or has although it is not there; "" if it is
// as it should be. Kernels and initramfs images elsewhere are none of its business.
func (m *Menu) Stale(kernels []Kernel) string {
	for _, k := range kernels {
		loads := false
		for _, e := range m.Entries {
			if path.Base(e.Kernel.Place.Path) != path.Base(k.Image) {
				continue
			}
			loads = true
			if k.Initramfs != "" && !e.loads(path.Base(k.Initramfs)) {
				return fmt.Sprintf("the entry of %s does not load %s", k.Image, k.Initramfs)
			}
		}
		if !loads {
			return "no entry loads " + k.Image
		}
	}
	for _, e := range m.Entries {
		name := path.Base(e.Kernel.Place.Path)
		if !strings.HasPrefix(name, "vmlinuz-") || strings.HasPrefix(name, "vmlinuz-0-rescue") {
			continue
		}
		if !slices.ContainsFunc(kernels, func(k Kernel) bool { return path.Base(k.Image) == name }) {
			return "an entry loads " + name + ", which is not there any more"
		}
	}
	return ""
}
