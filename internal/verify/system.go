package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/rootfs"
)

// Image is what is checked: a disk, and the tree of the system on it, mounted.
type Image struct {
	Disk   io.ReaderAt
	Size   int64           // of the disk in bytes
	Mounts []image.Mounted // root first
	Root   *rootfs.Root
	Arch   string // as uname -m says it
	// HostDNS is what a run writes to /etc/resolv.conf for a time.
	HostDNS string
}

// system is an image while it is checked, with what more than one check needs.
type system struct {
	Image
	effort
	Volumes  []disk.Volume
	table    *disk.Table // never nil
	tableErr error
	fstab    disk.Fstab
	scheme   boot.Scheme
	menu     *boot.Menu // never nil
	kernels  []boot.Kernel
	efi      *esp                    // nil without an EFI system partition
	claims   []disk.Claim            // what the lines of fstab mean
	broken   *list                   // what could not be read
	unread   bool                    // the boot configuration could not be
	sealedIn map[string][]boot.Entry // unified images by the version of the kernel in them
	programs map[string]string       // why the kernel cannot start them, or "", by path; see unstartable
	dirs     []string                // where loaders look for libraries; see libraryDirs
	own      []boot.Entry            // see ownEntries
	copies   map[[2][2]uint64]bool   // pairs of files that were compared, by their identities: whether they have the same content
	found    map[boot.Ref]place      // what was looked for; see find
	folds    map[string]map[string]string
	members  map[[2]uint64]map[string]bool // what initramfs images hold, by their identities
	modules  map[string]kmod.Modules       // of kernels, by their directories
}

func newSystem(ctx context.Context, i Image) *system {
	s := &system{
		Image: i, effort: effort{ctx: ctx}, menu: &boot.Menu{}, broken: newList("files"), sealedIn: map[string][]boot.Entry{}, copies: map[[2][2]uint64]bool{},
		found: map[boot.Ref]place{}, folds: map[string]map[string]string{}, members: map[[2]uint64]map[string]bool{}, modules: map[string]kmod.Modules{},
	}
	s.readDisk()
	s.readFstab()
	var err error
	if s.scheme, err = boot.Detect(i.Root); err != nil {
		s.broken.at("", 0, "%v", err)
	}
	if s.scheme.Kind == boot.UKI {
		s.menu = &boot.Menu{} // see unified
	} else if m, err := s.scheme.Loader().Entries(i.Root); err != nil {
		s.broken.at("", 0, "the boot configuration cannot be read: %v", err)
		s.unread = true
	} else {
		s.menu = m
	}
	if s.kernels, err = boot.Kernels(i.Root); err != nil {
		s.broken.at("", 0, "%v", err)
	}
	s.efi = s.findESP()
	s.unified()
	s.cutArguments()
	return s
}

// maxFstab bounds how many lines of an fstab are looked at.
const maxFstab = 4096

func (s *system) readFstab() {
	s.fstab = disk.ParseFstab(s.setting(fstabFile))
	if len(s.fstab) > maxFstab {
		s.broken.at(fstabFile, maxFstab, "has %d lines, of which the rest is not looked at", len(s.fstab))
		s.fstab = s.fstab[:maxFstab]
	}
	s.claims = s.fstab.Claims(s.Volumes)
}

// commandLine is how many bytes of arguments a kernel takes (COMMAND_LINE_SIZE of x86 and arm64), with the one that ends them.
const commandLine = 2048

// cutArguments cuts the arguments of entries where the kernel does.
func (s *system) cutArguments() {
	for i, e := range s.menu.Entries {
		size := 0
		for n, a := range e.Arguments {
			if size += len(a.Text) + 1; size > commandLine {
				s.broken.at(e.File, e.Line, "the arguments have more than the %d bytes that the kernel takes: it cuts off the rest", commandLine-1)
				s.menu.Entries[i].Arguments = e.Arguments[:n]
				break
			}
		}
	}
}

// mountOf is the mount that a path of the tree lies on.
func (s *system) mountOf(name string) (best image.Mounted) {
	for _, m := range s.Mounts {
		if within(name, m.Path) && len(m.Path) >= len(best.Path) {
			best = m
		}
	}
	return best
}

func within(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}

// named is the one volume that a name means; otherwise it says what is wrong with the name.
func (s *system) named(source string) (*disk.Volume, error) {
	return s.oneOf(disk.Named(s.Volumes, source), source)
}

func (s *system) oneOf(found []*disk.Volume, source string) (*disk.Volume, error) {
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("names %s, but no partition of the image is that%s", source, s.nearly(source))
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("names %s, which both partition %d and partition %d are", source, found[0].Number, found[1].Number)
	}
}

// nearly says what a name should have been that is only written wrongly.
func (s *system) nearly(source string) string {
	v, err := disk.Find(s.Volumes, source)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (case, quotes, blanks and escapes count: partition %d is %s)", v.Number, v.Spelled(source))
}

// errUnseen is why a file cannot be looked for.
var errUnseen = errors.New("its partition is not mounted")

// volumeOf is the volume that a boot loader means by a device. config is the file that names it.
func (s *system) volumeOf(device, config string) (*disk.Volume, error) {
	file, byFile := strings.CutPrefix(device, "file:")
	switch {
	case device == "":
		return s.volume(s.mountOf(config).Volume.Number), nil
	case byFile:
		for _, m := range s.Mounts {
			if _, err := s.treePath(&m.Volume, file); err == nil {
				return s.volume(m.Volume.Number), nil
			}
		}
		return nil, fmt.Errorf("searches for a partition with the file %s, which none has", file)
	case strings.HasPrefix(device, "hd"):
		n := strings.TrimLeft(device[strings.LastIndexByte(device, ',')+1:], "gptmsdo")
		if number, err := strconv.Atoi(n); err == nil && s.volume(number) != nil {
			return s.volume(number), nil
		}
		return nil, fmt.Errorf("names the partition (%s), which the image does not have", device)
	}
	return s.named(device)
}

func (s *system) volume(number int) *disk.Volume {
	i := slices.IndexFunc(s.Volumes, func(v disk.Volume) bool { return v.Number == number })
	if i < 0 {
		return nil
	}
	return &s.Volumes[i]
}

// find returns where in the tree a file lies that a boot loader names, which sees one filesystem at a
// time.
func (s *system) find(r boot.Ref) (string, error) {
	key := r
	key.Line = 0
	known, is := s.found[key]
	if !is {
		if !s.more(len(s.Mounts) * lookup) {
			return "", errUnseen
		}
		known.file, known.err = s.look(r)
		s.found[key] = known
	}
	return known.file, known.err
}

// place is where something was found, or why it was not.
type place struct {
	file string
	err  error
}

func (s *system) look(r boot.Ref) (string, error) {
	v, err := s.volumeOf(r.Place.Device, r.File)
	if err != nil {
		return "", err
	}
	if v == nil {
		return "", errUnseen
	}
	file, err := s.treePath(v, r.Place.Path)
	if err != nil && r.Unset != "" {
		err = fmt.Errorf("names %s, which is no file there: the variable %s is not set", r.Place.Path, r.Unset)
	}
	return file, err
}

// treePath is the path in the tree of a file of a volume that must be there.
func (s *system) treePath(v *disk.Volume, name string) (string, error) {
	seen := false
	for _, m := range s.Mounts {
		if m.Volume.Number != v.Number {
			continue
		}
		seen = true
		rel, ok := below(name, m.Subvolume)
		full := path.Join(m.Path, rel)
		if !ok || s.mountOf(full).Path != m.Path {
			continue
		}
		if v.Content.Type == "vfat" {
			full = s.fold(full)
		}
		if fi, err := s.Root.Stat(full); err == nil && fi.Mode().IsRegular() {
			return full, nil
		}
	}
	if !seen {
		return "", errUnseen
	}
	return "", fmt.Errorf("names %s, which is not on partition %d", name, v.Number)
}

// below cuts the path of a subvolume off a path.
func below(name, subvol string) (rel string, ok bool) {
	if subvol == "" || subvol == "/" {
		return name, true
	}
	if !within(name, subvol) {
		return "", false
	}
	return strings.TrimPrefix(name, subvol), true
}

// missing tells whether an error says that there is no such file.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
