// Package probe finds the package manager of an image.
package probe

import (
	"cmp"
	"context"
	"slices"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/apt"
	"imagecustomizer/internal/pkgmgr/rpm"
	"imagecustomizer/internal/rootfs"
)

// kind is a database, with the managers that work on it in the order in which they are looked for.
type kind struct {
	pkgmgr.Database
	managers []pkgmgr.Manager
}

// kinds are in the order in which their databases are looked for.
var kinds = []kind{
	{apt.Database{}, []pkgmgr.Manager{apt.Manager{}}},
	{rpm.Database{}, []pkgmgr.Manager{rpm.TDNF, rpm.DNF, rpm.DNF5}},
}

// ruling are those kinds whose database the packages of an image are in: one or none.
func ruling(root *rootfs.Root) []kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.Rules(root) })
	if i < 0 {
		return nil
	}
	return kinds[i : i+1]
}

// Manager is the name of an image's package manager: one of those that work on the database its packages are
// in. Others may be installed as well, as packages like any other. It is empty where there is none.
func Manager(root *rootfs.Root) string {
	among := ruling(root)
	if among == nil {
		among = kinds
	}
	for _, k := range slices.Backward(among) {
		for _, m := range k.managers {
			if m.In(root) {
				return m.Name()
			}
		}
	}
	return ""
}

// Of is the package manager of an image; nil where it has none.
func Of(f *machine.Facts) pkgmgr.Manager {
	for _, k := range kinds {
		for _, m := range k.managers {
			if m.Name() == f.PackageManager {
				return m
			}
		}
	}
	return nil
}

// Names are those of all package managers that the program knows.
func Names() (list []string) {
	for _, k := range slices.Backward(kinds) {
		for _, m := range k.managers {
			list = append(list, m.Name())
		}
	}
	return list
}

// Installed lists the packages of an image by their names. One whose package manager was removed has none.
func Installed(ctx context.Context, m *machine.Machine) (list []pkgmgr.Package, err error) {
	var db pkgmgr.Database = rpm.Database{} // rpm can be told to keep it in any place, and finds it
	if found := ruling(m.Root); len(found) > 0 {
		db = found[0]
	}
	list, err = db.Installed(ctx, m)
	slices.SortStableFunc(list, func(a, b pkgmgr.Package) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return list, err
}

// Records are the files and folders in which package managers keep what is installed.
func Records() (list []string) {
	for _, k := range kinds {
		list = append(list, k.Records()...)
	}
	return list
}

// Files lists what an installed package has brought, as far as that can be read without running a program of the image.
func Files(m *machine.Machine, name string) []string {
	if mgr := Of(m.Facts); mgr != nil {
		return mgr.Files(m, name)
	}
	return nil
}

// PackageFor names the packages that bring what an image lacks, in the words of its package manager; empty where
// none does.
func PackageFor(f *machine.Facts, n pkgmgr.Need) string {
	if m := Of(f); m != nil {
		return m.PackageFor(f, n)
	}
	return rpm.TDNF.PackageFor(f, n)
}
