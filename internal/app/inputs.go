package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/step"
)

// inputs are the files that a run reads, and what each is to it. An output that took the place of one
// would destroy what the next run needs. Files are told apart by device and inode, since one file has
// many names.
type inputs map[fileID]string

// fileID names a file of the host for as long as it exists.
type fileID struct{ device, inode uint64 }

// add notes a file, or every file of a directory. What cannot be read is reported by who reads it.
func (in inputs) add(what, path string) {
	if path == "" {
		return
	}
	_ = filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if id, regular := in.identify(name); err == nil && regular {
			if _, known := in[id]; !known {
				in[id] = what
			}
		}
		return nil
	})
}

func (in inputs) identify(path string) (id fileID, regular bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileID{}, false
	}
	return fileID{st.Dev, st.Ino}, st.Mode&unix.S_IFMT == unix.S_IFREG
}

// inputs lists what the run of these flags and this config reads.
func (o CustomizeOptions) inputs(c *step.Config, base string) inputs {
	in := inputs{}
	in.add("the base image", base)
	file := o.ConfigFile
	if file == compose.Stdin {
		file = "/dev/stdin"
	}
	in.add("the config file", file)
	for _, s := range append(append([]string{}, o.RPMSources...), o.DebSources...) {
		in.add("a package source", s)
	}
	read := *c
	read.Output = step.Config{}.Output
	for _, p := range config.Paths(read) {
		in.add("a file that the config names", p.Resolved)
	}
	return in
}

// checkTargets refuses outputs that would destroy an input, each other or a directory, and, where the
// user wants it so, any file.
func checkTargets(list []*job.Output, in inputs, keep bool, bad *usage) {
	names, files := map[string]bool{}, map[fileID]string{}
	for _, t := range list {
		for _, path := range paths(t) {
			name := unaliased(path)
			if names[name] {
				bad.add("two outputs have the same path %s", path)
				continue
			}
			names[name] = true
			checkTarget(t, path, in, files, keep, bad)
		}
	}
}

// paths are the files that an output consists of.
func paths(t *job.Output) []string {
	if t.Checksum && !t.Format.Folder {
		return []string{t.Path, t.Path + ".sha256"}
	}
	return []string{t.Path}
}

func checkTarget(t *job.Output, path string, in inputs, files map[fileID]string, keep bool, bad *usage) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		bad.check(err)
		return
	}
	id, _ := in.identify(path)
	switch {
	case fi.IsDir() && !t.Format.Folder:
		bad.add("output %s is a directory; name the file to write", path)
	case !fi.Mode().IsRegular() && !fi.IsDir():
		bad.add("output %s is not a regular file; write to a file, then copy it there", path)
	case in[id] != "":
		bad.add("output %s is %s, which is never modified; name another file", path, in[id])
	case files[id] != "":
		bad.add("the outputs %s and %s are one file by two names; remove one of them", files[id], path)
	case keep && fi.Mode().IsRegular():
		bad.add("output %s exists, and --no-clobber keeps it; remove it, or name another file", path)
	}
	files[id] = path
}
