// Package hostfs reads the user's files on the build host: sources of copies, scripts, key files.
package hostfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Open opens a regular file and returns its permission bits too.
func Open(name string) (*os.File, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Mode().Perm(), nil
}

// Exists tells whether the build host has a file.
func Exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// ReadFile returns a file's content.
func ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// Walk visits a folder and everything in it, parents first. Links to files count as files; a link to
// a folder is an error.
func Walk(dir string, visit func(name string, isDir bool) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return visit(name, true)
		}
		fi, err := os.Stat(name)
		switch {
		case err != nil:
			return err
		case fi.IsDir():
			return fmt.Errorf("%s is a link to a folder, which is not followed; copy the folder itself", name)
		case !fi.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", name)
		}
		return visit(name, false)
	})
}

// Real is the path without symbolic links, by which it is told whether two names mean one file.
func Real(name string) (string, error) { return filepath.EvalSymlinks(name) }

// IsFile tells whether the path leads to a regular file.
func IsFile(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

// IsDir tells whether the path leads to a directory.
func IsDir(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.IsDir()
}

// ReadUpTo returns the first bytes, at most so many, of a file or of what comes through a pipe.
func ReadUpTo(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// ReadSmall returns the content of a regular file of at most so many bytes.
func ReadSmall(name string, most int64) ([]byte, error) {
	f, _, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}

// IsExecutable tells whether somebody may execute the file.
func IsExecutable(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.Mode()&0o111 != 0
}
