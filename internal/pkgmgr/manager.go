package pkgmgr

import (
	"context"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// Format is a format of packages.
type Format string

// Formats of packages.
const (
	Deb Format = "deb"
	RPM Format = "rpm"
)

// Package is one that is installed in an image.
type Package struct {
	Name, Version, Release, Arch string // without a release where the format has none
	Vendor                       string // who made it
	Size                         int64  // of its files, in bytes
}

// Database is the database of the packages that an image consists of.
type Database interface {
	// Rules tells whether the system in the image was installed with it. An image may have another one as
	// well, of packages like any other.
	Rules(root *rootfs.Root) bool
	// Records are the files and folders that hold it.
	Records() []string
	// Installed lists the packages.
	Installed(ctx context.Context, m *machine.Machine) ([]Package, error)
	// Files lists what an installed package has brought, as far as that can be read without running a program of
	// the image.
	Files(m *machine.Machine, name string) []string
	// Owner is the name of the package that brought a file; empty where none did.
	Owner(ctx context.Context, m *machine.Machine, path string) (string, error)
}

// Manager is a package manager as images have it. Outside of this package and those below it no code
// asks which one it is.
type Manager interface {
	Database
	// Name is what people call it.
	Name() string
	// Format is that of the packages it installs.
	Format() Format
	// In tells whether the image has the program.
	In(root *rootfs.Root) bool
	// Check looks for everything wrong with the sources of a session and with what it is to do, and changes
	// nothing. Install, update and remove are the names of packages.
	Check(ctx context.Context, m *machine.Machine, o Options, install, update, remove []string) []Fault
	// Goes lists the installed packages that a removal of these takes away, and changes nothing. The error is a *Refused
	// where the manager would not do it.
	Goes(ctx context.Context, m *machine.Machine, names []string) ([]Gone, error)
	// Programs are those that it consists of.
	Programs() []string
	// Begin makes the session ready for transactions.
	Begin(ctx context.Context, s *Session, o Options) (Transactions, error)
	// PackageFor names the packages that bring what an image lacks, in words for a person; empty where none does.
	PackageFor(f *machine.Facts, n Need) string
}

// Transactions are what a manager does in a session, each a transaction of its own.
type Transactions interface {
	Refresh(ctx context.Context) error
	Remove(ctx context.Context, names []string) error
	UpdateAll(ctx context.Context) error
	Install(ctx context.Context, names []string) error
	Update(ctx context.Context, names []string) error
	// Missing returns those of the names that are not installed.
	Missing(ctx context.Context, names []string) ([]string, error)
	// Named calls f for those of the files that an index of this run names, where that index is one that
	// no program of the image can have written.
	Named(files map[Digest]string, f func(Digest) error) error
}
