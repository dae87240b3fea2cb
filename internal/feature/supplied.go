package feature

import (
	"path"
	"strings"

	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
)

// Supplied is what additionalFiles and additionalDirs put into the image, for the checks of the steps
// behind them: what the config brings is not missing.
type Supplied struct {
	Files []SuppliedFile
	Dirs  []SuppliedDir
}

// SuppliedFile is one file, with its content or the file of the build host that has it.
type SuppliedFile struct {
	Destination, Source string
	Content             *string
}

// SuppliedDir is one directory.
type SuppliedDir struct{ Destination, Source string }

// Has tells whether the config brings a file of this path.
func (s Supplied) Has(name string) bool {
	_, _, ok := s.find(name)
	return ok
}

// find returns the text or the host's file that the config puts at a path; the last that does so wins.
func (s Supplied) find(name string) (text *string, source string, ok bool) {
	for _, d := range s.Dirs {
		if rel, below := strings.CutPrefix(name, strings.TrimSuffix(path.Clean(d.Destination), "/")+"/"); below && hostfs.IsFile(d.Source+"/"+rel) {
			source, ok = d.Source+"/"+rel, true
		}
	}
	for _, f := range s.Files {
		if path.Clean(f.Destination) == name {
			text, source, ok = f.Content, f.Source, true
		}
	}
	return text, source, ok
}

// ReadFile returns what a file of the image will hold behind the files of the config.
func (s Supplied) ReadFile(m *machine.Machine, name string) ([]byte, error) {
	text, source, ok := s.find(name)
	switch {
	case !ok:
		return m.Root.ReadFile(name)
	case text != nil:
		return []byte(*text), nil
	}
	return hostfs.ReadFile(source)
}
