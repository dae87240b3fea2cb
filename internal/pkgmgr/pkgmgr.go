// Package pkgmgr is what is the same of every package manager of an image: sources of packages, a session in
// which it works with sources and caches that leave no trace in the image, and the interface behind which
// each manager stands. The managers are in packages of their own, and probe has the list of them.
package pkgmgr

import (
	"fmt"
	"os"
	"path/filepath"
)

// SourceKind is what a source of packages is.
type SourceKind int

// Kinds of sources.
const (
	PackageDir SourceKind = iota // folder of .rpm or .deb files
	RepoFile                     // .repo file of yum, dnf and tdnf
	AptFile                      // .list or .sources file of apt
)

// Source is one place packages come from besides the image's own repositories.
type Source struct {
	Path string // absolute, on the build host
	Kind SourceKind
}

// CheckSource tells what kind of source a path is.
func CheckSource(path string) (Source, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Source{}, fmt.Errorf("package source: %w", err)
	}
	kinds := map[string]SourceKind{".repo": RepoFile, ".list": AptFile, ".sources": AptFile}
	kind, known := kinds[filepath.Ext(path)]
	switch {
	case fi.IsDir():
		return Source{path, PackageDir}, nil
	case known && fi.Mode().IsRegular():
		return Source{path, kind}, nil
	}
	return Source{}, fmt.Errorf("package source %s is neither a folder of packages nor a .repo, .list or .sources file", path)
}

// Options are the sources of a session.
type Options struct {
	Sources     []Source // a later one beats an earlier one, and all beat the image's own
	NoBaseRepos bool     // leave the image's own repositories out
	Debconf     []string // lines for debconf-set-selections(1)
	Indexes     *Indexes // what Check reads for the sessions of the same run; nil keeps nothing
	Along       *Along   // what Check learns of packages that go with others; nil keeps nothing
}

// Indexes are what a manager has read of package indexes in one part of a run, for another.
type Indexes struct{ read any }

// Keep takes what was read.
func (x *Indexes) Keep(read any) {
	if x != nil {
		x.read = read
	}
}

// Read is what was read; nil where nothing was.
func (x *Indexes) Read() any {
	if x == nil {
		return nil
	}
	return x.read
}

// Fault is something wrong with a source of packages, found before anything is changed.
type Fault struct {
	Where   string // file and line
	Package string // as it was asked for; empty where it is no package that is wrong
	Text    string
	Hint    string // what to do; may be empty
}

func (f Fault) String() string {
	if f.Where == "" {
		return f.Text
	}
	return f.Where + ": " + f.Text
}

// NoRoom is the error of a transaction that does not fit, and was not begun.
type NoRoom struct {
	Missing uint64 // bytes, on the filesystem of /usr
	Err     error
}

func (e *NoRoom) Error() string { return e.Err.Error() }

// Unwrap returns what the package manager said.
func (e *NoRoom) Unwrap() error { return e.Err }
