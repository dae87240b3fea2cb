package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Permissions are a file's permission bits, written as octal digits with or without quotes: 644 and
// "0644" are the same.
type Permissions struct {
	Mode fs.FileMode
	Set  bool
}

var octal = regexp.MustCompile(`^(0o?)?[0-7]{1,3}$`)

// UnmarshalScalar reads octal digits.
func (p *Permissions) UnmarshalScalar(text string, at *At) {
	if !octal.MatchString(text) {
		at.Errorf("%s: %q is not three octal digits", last(at.path), text).Hint("write permissions like \"644\" or \"0755\"; setuid, setgid and sticky bits cannot be set")
		return
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32) // matched
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

// NeedFile reports, where files are to be checked, that the path is not a readable regular file, and tells
// whether it may be one. It is not opened: a pipe would be waited for.
func (p Path) NeedFile(at *At) bool { return p.need(at, "a regular file", fs.FileMode.IsRegular) }

// NeedDir reports, where files are to be checked, that the path is not a folder.
func (p Path) NeedDir(at *At) bool { return p.need(at, "a folder", fs.FileMode.IsDir) }

// need tells whether the path is there and of the right kind; where nothing is to be checked, it is.
func (p Path) need(at *At, what string, ok func(fs.FileMode) bool) bool {
	if p.Resolved == "" || !at.CheckFiles() {
		return true
	}
	fi, err := os.Stat(p.Resolved)
	if err == nil && !ok(fi.Mode()) {
		at.Errorf("%s is not %s", p.Text, what)
		return false
	}
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, p.Resolved, unix.R_OK, unix.AT_EACCESS)
	}
	if err != nil {
		at.Errorf("cannot read %s: %s", p.Text, Reason(err)).Hint("relative paths are relative to the config file's folder, %s", at.Dir())
	}
	return err == nil
}

// Size is an amount of storage in bytes, written as a whole number with a unit, such as 512M: K, M, G
// or T, of 1024 each. Partitions lie on whole MiB, so that sizes are whole MiB too.
type Size int64

// MiB is the unit that partitions are aligned to.
const MiB = 1 << 20

var size = regexp.MustCompile(`^([0-9]+)([KMGT])$`)

// UnmarshalScalar reads the number and its unit.
func (s *Size) UnmarshalScalar(text string, at *At) {
	m := size.FindStringSubmatch(text)
	if m != nil && strings.Trim(m[1], "0") == "" {
		at.Errorf("%s: %s is nothing", last(at.path), text)
		return
	}
	if m == nil {
		at.Errorf("%s: %q is not a size", last(at.path), text).Hint("write a whole number and K, M, G or T, such as 512M")
		return
	}
	shift := map[string]uint{"K": 10, "M": 20, "G": 30, "T": 40}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	switch {
	case at.FormOnly():
	case err != nil || n > largestSize>>shift:
		at.Errorf("%s: %s is too large", last(at.path), text)
	case n<<shift%MiB != 0:
		at.Errorf("%s: %s is not a whole number of MiB", last(at.path), text).Hint("use a multiple of 1024K")
	default:
		*s = Size(n << shift)
	}
}

// largestSize keeps sums of sizes from overflowing.
const largestSize = 1 << 56

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "T"}, {30, "G"}, {20, "M"}, {10, "K"}} {
		if n := int64(s); n != 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Describe tells how a size is written.
func (Size) Describe() Form { return Form{Kind: "size", Pattern: `^0*[1-9][0-9]*[KMGT]$`} }

// Describe tells how a path of the build host is written.
func (Path) Describe() Form { return Form{Kind: "path", Pattern: `[^\x00]`} }
