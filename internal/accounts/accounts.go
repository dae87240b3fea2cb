// Package accounts reads and edits the users and groups of an image, in the files of passwd(5), group(5) and shadow(5),
// as shadow's programs do.
package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// The files that hold accounts.
const (
	PasswdFile  = "/etc/passwd"
	GroupFile   = "/etc/group"
	ShadowFile  = "/etc/shadow"
	GshadowFile = "/etc/gshadow"
)

// PlainName is a name that every version of shadow's programs accepts.
var PlainName = regexp.MustCompile(`^[a-z_][a-z0-9_-]*\$?$`)

// HasTools tells whether the image has shadow's programs; where one is missing, accounts are edited.
func HasTools(m *machine.Machine) bool {
	return m.Has("useradd") && m.Has("usermod") && m.Has("groupadd")
}

// Entry returns the colon-separated fields of a line of an account file whose first field is name.
func Entry(root *rootfs.Root, file, name string) []string {
	data, _ := root.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimRight(line, "\n"), ":"); f[0] == name {
			return f
		}
	}
	return nil
}

// GroupID looks a group up in the image's /etc/group.
func GroupID(root *rootfs.Root, name string) (gid int, ok bool) {
	f := Entry(root, GroupFile, name)
	if len(f) < 3 {
		return 0, false
	}
	gid, err := strconv.Atoi(f[2])
	return gid, err == nil
}

// Account is a line of /etc/passwd.
type Account struct {
	UID, GID int
	Home     string
}

func Lookup(root *rootfs.Root, name string) (a Account, ok bool) {
	f := Entry(root, PasswdFile, name)
	if len(f) < 7 {
		return a, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	return Account{uid, gid, f[5]}, err1 == nil && err2 == nil
}

// SetField changes one field of an account's line.
func SetField(root *rootfs.Root, file, name string, field int, value string) error {
	found := false
	err := root.EditLines(file, func(line string) (string, bool) {
		f := strings.Split(line, ":")
		if f[0] != name || len(f) <= field {
			return line, true
		}
		found = true
		f[field] = value
		return strings.Join(f, ":"), true
	})
	if err == nil && !found {
		err = fmt.Errorf("%s has no line for %s", file, name)
	}
	return err
}

// Names are the names in an account file.
func Names(root *rootfs.Root, file string) (names []string) {
	data, _ := root.ReadFile(file) // without it there are none
	for line := range strings.Lines(string(data)) {
		if name, _, ok := strings.Cut(line, ":"); ok && name != "" && name[0] != '#' && name[0] != '+' {
			names = append(names, name)
		}
	}
	return names
}

// idsIn maps the numbers in an account file to names.
func idsIn(root *rootfs.Root, file string) map[int]string {
	ids := map[int]string{}
	data, _ := root.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, ":")
		if len(f) < 3 {
			continue
		}
		if id, err := strconv.Atoi(strings.TrimSpace(f[2])); err == nil && ids[id] == "" {
			ids[id] = f[0]
		}
	}
	return ids
}

// OwnerOf is the account that has a number, or "".
func OwnerOf(root *rootfs.Root, file string, id int) string { return idsIn(root, file)[id] }

// LoginDefs returns a setting of login.defs(5), or what shadow takes where it is not set.
func LoginDefs(root *rootfs.Root, key string, otherwise int) int {
	data, _ := root.ReadFile("/etc/login.defs")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			if n, err := strconv.ParseInt(f[1], 0, 32); err == nil {
				return int(n)
			}
		}
	}
	return otherwise
}

// NextID is the number behind the largest that is taken, or the first that is free.
func NextID(root *rootfs.Root, file, kind string) (int, error) {
	low, high := LoginDefs(root, kind+"_MIN", 1000), LoginDefs(root, kind+"_MAX", MaxID)
	taken := idsIn(root, file)
	next := low
	for id := range taken {
		if id >= low && id <= high {
			next = max(next, id+1)
		}
	}
	for id := next; id <= high; id++ {
		if taken[id] == "" {
			return id, nil
		}
	}
	for id := low; id < next; id++ {
		if taken[id] == "" {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no number from %d to %d is free in %s", low, high, file)
}

// AddGroup makes a group by editing and returns its number.
func AddGroup(root *rootfs.Root, name string, gid *int) (int, error) {
	if gid == nil {
		id, err := NextID(root, GroupFile, "GID")
		if err != nil {
			return 0, err
		}
		gid = &id
	}
	if err := root.AppendLines(GroupFile, 0o644, fmt.Sprintf("%s:x:%d:", name, *gid)); err != nil {
		return 0, err
	}
	if !root.Exists(GshadowFile) {
		return *gid, nil
	}
	return *gid, root.AppendLines(GshadowFile, 0o600, name+":!::")
}

// AddMember puts a user into a group by editing.
func AddMember(root *rootfs.Root, group, user string) error {
	for file, field := range map[string]int{GroupFile: 3, GshadowFile: 3} {
		f := Entry(root, file, group)
		if len(f) <= field { // a gshadow need not be there, nor know every group
			continue
		}
		members := strings.Split(f[field], ",")
		if slices.Contains(members, user) {
			continue
		}
		if err := SetField(root, file, group, field, strings.TrimPrefix(strings.Join(append(members, user), ","), ",")); err != nil {
			return err
		}
	}
	return nil
}

// UserDefaults are the settings of /etc/default/useradd.
func UserDefaults(root *rootfs.Root) map[string]string {
	text, _ := root.ReadFile("/etc/default/useradd")
	return distro.ParseOSRelease(string(text)) // the same form
}

// CopySkel gives a home folder what the image has for new ones, owned by the user.
func CopySkel(root *rootfs.Root, from, to string, uid, gid int) error {
	entries, err := root.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if err == nil {
			err = copyOwned(root, from+"/"+e.Name(), to+"/"+e.Name(), uid, gid)
		}
	}
	return err
}

func copyOwned(root *rootfs.Root, from, to string, uid, gid int) error {
	fi, err := root.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case fi.IsDir():
		if err = root.MkdirAll(to, fi.Mode().Perm()); err == nil {
			err = CopySkel(root, from, to, uid, gid)
		}
	case fi.Mode()&fs.ModeSymlink != 0:
		var text string
		if text, err = root.Readlink(from); err == nil {
			err = root.Symlink(text, to)
		}
	case fi.Mode().IsRegular():
		var data []byte
		if data, err = root.ReadFile(from); err == nil {
			err = root.WriteFile(to, data, fi.Mode().Perm())
		}
	default:
		return nil // nobody is given a device or pipe
	}
	if err != nil {
		return err
	}
	return root.Chown(to, uid, gid)
}

// Shells are the shells of shells(5), and what is used to forbid logins, that the image has.
func Shells(m *machine.Machine) (list []string) {
	text, _ := m.Root.ReadFile("/etc/shells")
	for _, shell := range append(strings.Fields(string(text)), "/bin/sh", "/bin/bash", "/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false") {
		if strings.HasPrefix(shell, "/") && m.Root.Exists(shell) && !slices.Contains(list, shell) {
			list = append(list, shell)
		}
	}
	return list
}

// MaxID is the largest user and group number that configs may ask for.
const MaxID = 60000
