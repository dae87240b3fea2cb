// Package boot reads and edits the boot configuration inside an image: GRUB's own files, the
// defaults they are made from, and boot loader entries. What it does not change stays byte for byte.
package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
)

// Kind is a way to configure the boot loader.
type Kind string

// The kinds.
const (
	Mkconfig Kind = "grub-mkconfig" // grub.cfg is generated from /etc/default/grub
	BLS      Kind = "bls"           // one entry file a kernel (Boot Loader Specification), read by GRUB
	Legacy   Kind = "grub-legacy"   // grub.cfg is written by hand, as in Mariner 2.0
	Systemd  Kind = "systemd-boot"  // one entry file a kernel, read by systemd-boot
	UKI      Kind = "uki"           // kernel, initramfs and arguments in one EFI program
	None     Kind = "none"
)

// Scheme is how an image's boot loader is configured.
type Scheme struct {
	Kind    Kind
	Config  string   // path of grub.cfg; empty without GRUB
	Entries string   // folder of the boot loader entries, for BLS
	Trail   []string // what was looked at, and why it decided

	own []string // the unified kernel images of this system; nil where they are found out each time
}

// String names the scheme.
func (s Scheme) String() string {
	for _, place := range []string{s.Entries, s.Config} {
		if place != "" {
			return string(s.Kind) + ", " + place
		}
	}
	return string(s.Kind)
}

func (s Scheme) grub() bool { return s.Config != "" }

// Unsupported says why kernel arguments cannot be edited, or "".
func (s Scheme) Unsupported() string {
	if s.Kind == None {
		return "the image has no boot loader configuration that this program knows: " + strings.Join(s.Trail, "; ")
	}
	return ""
}

var (
	// configs are the places of grub.cfg, Fedora's and Debian's.
	configs = []string{"/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"}
	// espDirs are the usual mount points of the EFI system partition, and /boot itself.
	espDirs = []string{"/boot", "/boot/efi", "/efi"}

	blscfg    = regexp.MustCompile(`(?m)^[ \t]*blscfg\b`)
	wholeMenu = regexp.MustCompile(`(?m)^[ \t]*(?:blscfg|menuentry)\b`)
)

// Detect tells how the image's boot loader is configured.
func Detect(files Files) (Scheme, error) {
	s := Scheme{Kind: None}
	if s.firmwareStarts(files) && s.withoutGRUB(files) {
		return s, nil
	}
	for _, c := range configs {
		text, err := menu(files, c)
		if errors.Is(err, fs.ErrNotExist) {
			s.note("no %s", c)
			continue
		}
		if err != nil {
			return s, err
		}
		s.Config = c
		s.byConfig(files, string(text))
		return s, nil
	}
	if s.onESP(files) {
		return s, nil
	}
	if !s.withoutGRUB(files) {
		s.note("neither unified kernel images nor boot loader entries in %s", strings.Join(espDirs, ", "))
	}
	return s, nil
}

// firmwareStarts tells whether what firmware starts on the EFI system partition is systemd-boot, be it through shim. A
// configuration of GRUB that an image has besides is read by nobody.
func (s *Scheme) firmwareStarts(files Files) bool {
	if !slices.ContainsFunc(espDirs, func(esp string) bool {
		return len(list(files, esp+entriesDir, ".conf"))+len(list(files, esp+ukiDir, ".efi")) > 0
	}) {
		return false
	}
	first := systemdBootAt(files)
	if first != "" {
		s.note("%s leads to systemd-boot", first)
	}
	return first != ""
}

// StartsSystemdBoot tells whether firmware that knows nothing of the image starts systemd-boot, be it through shim.
func StartsSystemdBoot(files Files) bool { return systemdBootAt(files) != "" }

// systemdBootAt is the program that firmware starts where it leads to systemd-boot; empty where it does not.
func systemdBootAt(files Files) string {
	for _, esp := range espDirs {
		dir := esp + "/EFI/BOOT"
		entries, _ := files.ReadDir(dir)
		for _, e := range few(entries, maxLoaders) {
			if name := strings.ToLower(e.Name()); strings.HasPrefix(name, "boot") && strings.HasSuffix(name, ".efi") && leadsToSystemdBoot(files, dir, e.Name()) {
				return path.Join(dir, e.Name())
			}
		}
	}
	return ""
}

// leadsToSystemdBoot looks at a program and, if it is shim, at the one beside it that shim starts.
func leadsToSystemdBoot(files Files, dir, name string) bool {
	data, err := files.ReadAs(rootfs.Program, path.Join(dir, name))
	if err != nil {
		return false
	}
	p, err := efi.Read(bytes.NewReader(data))
	if err != nil || !p.Shim {
		return err == nil && p.SystemdBoot()
	}
	second := "grub" + strings.TrimPrefix(strings.ToLower(name), "boot")
	entries, _ := files.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return strings.EqualFold(e.Name(), second) && !strings.EqualFold(e.Name(), name) && leadsToSystemdBoot(files, dir, e.Name())
	})
}

// onESP looks for a whole menu on the EFI system partition, where EL 8 has it. What leads to another file is none.
func (s *Scheme) onESP(files Files) bool {
	for _, esp := range espDirs {
		vendors, _ := files.ReadDir(esp + "/EFI")
		for _, v := range few(vendors, maxLoaders) {
			name := path.Join(esp, "EFI", v.Name(), "grub.cfg")
			text, err := menu(files, name)
			if err == nil && wholeMenu.Match(text) {
				s.Config = name
				s.byConfig(files, string(text))
				return true
			}
		}
	}
	return false
}

func (s *Scheme) note(format string, args ...any) {
	s.Trail = append(s.Trail, fmt.Sprintf(format, args...))
}

func (s *Scheme) byConfig(files Files, text string) {
	const entriesDir = "/boot/loader/entries"
	if blscfg.MatchString(text) {
		n := len(list(files, entriesDir, ".conf"))
		s.note("%s runs blscfg, and %s has %d entries", s.Config, entriesDir, n)
		if n > 0 {
			s.Kind, s.Entries = BLS, entriesDir
			return
		}
	}
	// The mark is in the comment that grub-mkconfig begins the file with.
	s.Kind = Legacy
	if head := text[:min(len(text), 512)]; strings.Contains(head, "automatically generated by grub") {
		s.Kind = Mkconfig
		s.note("%s says that it was automatically generated by grub", s.Config)
	} else {
		s.note("%s does not say that it was generated", s.Config)
	}
}

// Where systemd-boot looks on the EFI system partition.
const (
	entriesDir = "/loader/entries"
	ukiDir     = "/EFI/Linux"
)

// withoutGRUB looks for what systemd-boot boots. Unified kernel images come first, as there.
func (s *Scheme) withoutGRUB(files Files) bool {
	for _, x := range []struct {
		dir, suffix, what string
		kind              Kind
	}{{ukiDir, ".efi", "unified kernel images", UKI}, {entriesDir, ".conf", "boot loader entries", Systemd}} {
		for _, esp := range espDirs {
			if n := len(list(files, esp+x.dir, x.suffix)); n > 0 {
				s.note("%d %s in %s", n, x.what, esp+x.dir)
				if s.Kind = x.kind; x.kind == Systemd {
					s.Entries = esp + x.dir
				}
				return true
			}
		}
	}
	return false
}
