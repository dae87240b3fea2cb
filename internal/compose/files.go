// Package compose makes one config of the files that a user names and the files that those build on.
package compose

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
)

// Files are the config files of a run. Each is read once: whoever composes them again, in the worker too, gets the
// same texts, whatever has become of the files.
type Files struct {
	List   []File
	Sealed bool // no other file is read, and nothing else

	Dir string            // what paths of the command line are relative to
	Env map[string]string // environment variables that were asked for and there
}

// Sources are what a config is made of: whoever has them composes the same.
type Sources struct {
	Top     string
	Files   Files
	Options Options
}

// With composes the config for a base image of which these facts are known. Where that changes nothing it is the one
// that there is.
func (s *Sources) With(f *Facts, have *Result) (*Result, error) {
	if s == nil || f == nil {
		return have, nil
	}
	files, o := s.Files, s.Options
	files.Sealed, o.Facts = true, f
	return Load(s.Top, &files, o)
}

// getenv looks up a variable of the environment.
func (f *Files) getenv(name string) (value string, there bool) {
	if value, there = f.Env[name]; there || f.Sealed {
		return value, there
	}
	if value, there = os.LookupEnv(name); there {
		if f.Env == nil {
			f.Env = map[string]string{}
		}
		f.Env[name] = value
	}
	return value, there
}

// absolute is a path that the command line names, as an absolute one.
func (f *Files) absolute(name string) (string, error) {
	if f.Dir == "" {
		dir, err := filepath.Abs(".")
		if err != nil {
			return "", err
		}
		f.Dir = dir
	}
	if filepath.IsAbs(name) {
		return filepath.Clean(name), nil
	}
	return filepath.Join(f.Dir, name), nil
}

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

// Stdin is the name of a config that is read from standard input. Its paths are relative to the working directory.
const Stdin = "-"

// stdinName is how messages name it.
const stdinName = "<standard input>"

// Top reads the file that the user names, which may be a pipe.
func (f *Files) Top(name string) (File, error) {
	if name == Stdin {
		return f.file(stdinName, func(string) ([]byte, error) { return io.ReadAll(io.LimitReader(os.Stdin, config.MaxSize+1)) })
	}
	return f.file(name, func(path string) ([]byte, error) { return hostfs.ReadUpTo(path, config.MaxSize+1) })
}

// Further reads a file that a config names.
func (f *Files) Further(name string) (File, error) {
	return f.file(name, func(path string) ([]byte, error) { return hostfs.ReadSmall(path, config.MaxSize) })
}

func (f *Files) file(name string, read func(string) ([]byte, error)) (File, error) {
	path, err := f.absolute(name)
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
	case f.Sealed:
		return File{}, fmt.Errorf("%s was not there when the config was checked", path)
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
