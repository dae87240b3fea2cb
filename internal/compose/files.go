// Package compose makes one config of the files that a user names and the files that those build on.
package compose

import (
	"fmt"
	"path/filepath"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// Files are the config files of a run. Each is read once: whoever composes them again gets the same
// texts, whatever has become of the files.
type Files struct{ List []File }

// File is one config file.
type File struct {
	Path string // absolute, as it was named
	Real string // without symbolic links, by which it is told whether two names mean one file
	Text []byte
}

// Bounds on files made to exhaust the reader.
const (
	maxFiles = 200
	maxDepth = 20
	maxTotal = 16 << 20
)

// Top reads the file that the user names, which may be a pipe.
func (f *Files) Top(name string) (File, error) {
	return f.file(name, func(path string) ([]byte, error) { return hostfs.ReadUpTo(path, config.MaxSize+1) })
}

// Further reads a file that a config names.
func (f *Files) Further(name string) (File, error) {
	return f.file(name, func(path string) ([]byte, error) { return hostfs.ReadSmall(path, config.MaxSize) })
}

func (f *Files) file(name string, read func(string) ([]byte, error)) (File, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return File{}, err
	}
	total := 0
	for _, have := range f.List {
		if have.Path == path {
			return have, nil
		}
		total += len(have.Text)
	}
	switch {
	case len(f.List) >= maxFiles:
		return File{}, fmt.Errorf("the config is made of more than %d files", maxFiles)
	case total > maxTotal:
		return File{}, fmt.Errorf("the files that make up the config have more than %d MiB", maxTotal>>20)
	}
	text, err := read(path)
	if err != nil {
		return File{}, err
	}
	real, err := hostfs.Real(path)
	if err != nil {
		real = path // a pipe has no name to be resolved
	}
	f.List = append(f.List, File{path, real, text})
	return f.List[len(f.List)-1], nil
}
