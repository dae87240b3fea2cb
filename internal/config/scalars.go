package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Permissions are a file's permission bits, written as octal digits with or without quotes: 644 and
// "0644" are the same.
type Permissions struct {
	Mode fs.FileMode
	Set  bool
}

var octal = regexp.MustCompile(`^0?[0-7]{3}$`)

// UnmarshalScalar reads octal digits.
func (p *Permissions) UnmarshalScalar(text string, at *At) {
	if !octal.MatchString(text) {
		at.Errorf("%s: %q is not three octal digits", last(at.path), text).Hint("write permissions like \"644\" or \"0755\"; setuid, setgid and sticky bits cannot be set")
		return
	}
	n, _ := strconv.ParseUint(text, 8, 32) // matched
	p.Mode, p.Set = fs.FileMode(n), true
}

// Path is the path of a file on the build host. A relative one is relative to the config file's
// folder.
type Path struct {
	Text     string // as written
	Resolved string // absolute; empty where none was given
}

// UnmarshalScalar resolves the path.
func (p *Path) UnmarshalScalar(text string, at *At) {
	if text == "" {
		at.Errorf("%s is empty", last(at.path)).Hint("write the path of a file")
		return
	}
	p.Text, p.Resolved = text, text
	if !filepath.IsAbs(text) {
		p.Resolved = filepath.Join(at.Dir(), text)
	}
}

// NeedFile reports, where files are to be checked, that the path is not a readable regular file.
func (p Path) NeedFile(at *At) { p.need(at, "a regular file", fs.FileMode.IsRegular) }

// NeedDir reports, where files are to be checked, that the path is not a folder.
func (p Path) NeedDir(at *At) { p.need(at, "a folder", fs.FileMode.IsDir) }

func (p Path) need(at *At, what string, ok func(fs.FileMode) bool) {
	if p.Resolved == "" || !at.CheckFiles() {
		return
	}
	f, err := os.Open(p.Resolved)
	if err != nil {
		at.Errorf("cannot read %s: %s", p.Text, reason(err)).Hint("relative paths are relative to the config file's folder, %s", at.Dir())
		return
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !ok(fi.Mode()) {
		at.Errorf("%s is not %s", p.Text, what)
	}
}
