package chain

import (
	"crypto/x509"
	"os"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/signing"
)

// Usual are the kinds of programs that are signed where it is not said which: what firmware or shim starts, and what
// these start.
func Usual(list []Program) []Kind {
	if slices.ContainsFunc(list, func(p Program) bool { return p.Kind == Loader && p.Info.GRUB != nil }) {
		return []Kind{Loader, Kernel}
	}
	return []Kind{Loader, UKI, Addon}
}

// Targets are the programs of an EFI system partition by which a system starts on that architecture, of these kinds.
// Others that lie there, such as another system's kernels and what nobody knows, are none of them. id is the system's,
// as in os-release.
func Targets(list []Program, arch, id string, kinds []Kind) (found []Program) {
	add := func(p Program) {
		if slices.Contains(kinds, p.Kind) && !slices.ContainsFunc(found, func(o Program) bool { return o.Path == p.Path }) {
			found = append(found, p)
		}
	}
	for _, p := range Started(list, arch) {
		add(p)
	}
	for _, p := range list {
		switch {
		case p.Kind == Kernel:
			add(p)
		case p.Kind == UKI && ownUKI(p, id):
			add(p)
			for _, a := range AddonsOf(list, p) {
				add(a)
			}
		case p.Kind == Addon && strings.EqualFold(path.Dir(p.Path), "/loader/addons"):
			add(p)
		}
	}
	return found
}

// Started are the shims and loaders that firmware comes to, with their copies: from what it starts by itself, and from
// each shim besides, which a boot option or shim's fallback may name.
func Started(list []Program, arch string) (found []Program) {
	add := func(p *Program) {
		if p == nil {
			return
		}
		for _, x := range append([]Program{*p}, Copies(list, *p)...) {
			if !slices.ContainsFunc(found, func(o Program) bool { return o.Path == x.Path }) {
				found = append(found, x)
			}
		}
	}
	add(First(list, arch))
	for i := range list {
		if list[i].Kind == Shim && list[i].Machine == efi.Machine(arch) {
			add(&list[i])
			add(Second(list, list[i]))
		}
	}
	return slices.DeleteFunc(found, func(p Program) bool { return p.Kind != Shim && p.Kind != Loader && p.Kind != UKI })
}

// ownUKI tells whether a unified kernel image is of a system with that identifier.
func ownUKI(p Program, id string) bool {
	if !strings.EqualFold(path.Dir(p.Path), "/EFI/Linux") {
		return false
	}
	for line := range strings.Lines(p.Info.OSRelease) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(value, `"'`) == id
		}
	}
	return p.Info.OSRelease == ""
}

// Revocation is a program that a shim would not start.
type Revocation struct {
	Path, Why string
	Asked     bool // shim does not revoke it by itself
}

// Revoked are the programs that the shims of an EFI system partition would not start. levels are what these revoke.
func Revoked(list []Program, automatic, latest *efi.Level) (found []Revocation) {
	for _, p := range list {
		behind := p.Kind == Loader || p.Kind == UKI && len(p.Info.SBAT) > 0
		if !behind {
			continue
		}
		if why := automatic.Revokes(p.Info); why != "" {
			found = append(found, Revocation{p.Path, why, false})
		} else if why := latest.Revokes(p.Info); why != "" {
			found = append(found, Revocation{p.Path, why, true})
		}
	}
	return found
}

// Vendors are the certificates that the shims of an EFI system partition were built with.
func Vendors(esp *rootfs.Root) (found []*x509.Certificate, err error) {
	list, err := Programs(esp)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.Kind != Shim {
			continue
		}
		if err := esp.WithFile(p.Path, func(f *os.File) error {
			found = append(found, signing.VendorsOf(f)...)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Levels is what the shims of an EFI system partition revoke, the newest of each kind; nil where there are none.
func Levels(esp *rootfs.Root, list []Program) (automatic, latest *efi.Level, err error) {
	for _, p := range list {
		if p.Kind != Shim {
			continue
		}
		if err := esp.WithFile(p.Path, func(f *os.File) error {
			a, l, err := efi.ReadLevels(f)
			automatic, latest = newer(automatic, a), newer(latest, l)
			return err
		}); err != nil {
			return nil, nil, err
		}
	}
	return automatic, latest, nil
}

func newer(a, b *efi.Level) *efi.Level {
	if a == nil || b != nil && b.Date > a.Date {
		return b
	}
	return a
}
