package identity

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"imagecustomizer/internal/rootfs"
)

// System is a tree in which rows are looked for.
type System struct {
	Root *rootfs.Root
	ESPs []string // where EFI system partitions are mounted, besides the usual places
	Keep []string // globs of what is left as it is
	// Astray hears of folders that are links to where a row has nothing to look for.
	Astray func(link string)
	// Err is the first folder or file that is there and cannot be read.
	Err error
	// Spend hears how many bytes are going to be looked at, 0 for a name alone, and tells whether that is too much; nil
	// never does. What is found then is not all.
	Spend func(bytes int) (tooMuch bool)
}

// enough tells whether no more is to be looked at.
func (s *System) enough(bytes int) bool { return s.Spend != nil && s.Spend(bytes) }

// note keeps an error, but for what is not there.
func (s *System) note(err error) {
	if s.Err == nil && err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		s.Err = err
	}
}

// espPlaces are the usual ones.
var espPlaces = []string{"/boot", "/efi", "/boot/efi"}

// Find lists what is there of a row.
func (s *System) Find(r Row) (found []string) {
	seen := map[string]bool{}
	for _, g := range r.Globs {
		for _, name := range s.expand(g) {
			if !seen[name] && !s.enough(0) && !s.Keeps(name) && s.has(r, name) {
				seen[name] = true
				found = append(found, name)
			}
		}
	}
	return found
}

// Keeps tells whether a path is left as it is.
func (s *System) Keeps(name string) bool {
	return slices.ContainsFunc(s.Keep, func(glob string) bool { return Match(glob, name) })
}

// Match tells whether a path, or a folder that it lies in, is what a glob means.
func Match(glob, name string) bool { return match(split(glob), split(name)) }

func match(glob, name []string) bool {
	switch {
	case len(glob) == 0:
		return true // the glob is this path, or a folder of it
	case glob[0] == "**" && len(glob) == 1:
		return len(name) > 0
	case glob[0] == "**":
		return match(glob[1:], name) || len(name) > 0 && match(glob, name[1:])
	case len(name) == 0:
		return false
	}
	ok, _ := path.Match(glob[0], name[0])
	return ok && match(glob[1:], name[1:])
}

func split(name string) []string { return strings.Split(strings.Trim(name, "/"), "/") }

// has tells whether something at a path is of the kind of a row.
func (s *System) has(r Row, name string) bool {
	fi, err := s.Root.Lstat(name)
	switch {
	case err != nil:
		return false
	case r.How == Delete:
		return !r.real || fi.Mode()&fs.ModeSymlink == 0
	case r.How == Truncate:
		return fi.Mode().IsRegular() && fi.Size() > 0
	}
	if s.enough(int(min(fi.Size(), 1<<20))) {
		return false
	}
	text, err := s.Root.ReadAs(rootfs.Setting, name)
	s.note(err)
	if r.none != nil {
		return err == nil && !r.none(string(text))
	}
	return err == nil && r.drop.Match(text)
}

// Cleared is the text that a file is reset to.
func (r Row) Cleared(text []byte) []byte {
	if r.drop != nil {
		return r.drop.ReplaceAll(text, nil)
	}
	return []byte(r.to)
}

// expand lists the paths that a glob means.
func (s *System) expand(glob string) (found []string) {
	rest, ofUser := strings.CutPrefix(glob, "~/")
	onESP, isESP := strings.CutPrefix(glob, "{esp}/")
	switch {
	case ofUser:
		for _, home := range s.homes() {
			found = append(found, s.below(home, split(rest))...)
		}
	case isESP:
		for _, p := range slices.Compact(slices.Sorted(slices.Values(append(s.ESPs, espPlaces...)))) {
			found = append(found, s.below(p, split(onESP))...)
		}
	default:
		found = s.below("/", split(glob))
	}
	return found
}

// below lists what the components of a glob mean in a folder.
func (s *System) below(dir string, glob []string) (found []string) {
	first, rest := glob[0], glob[1:]
	switch {
	case first == "**":
		return s.deep(dir, rest)
	case !strings.ContainsAny(first, "*?["):
		return s.step(path.Join(dir, first), rest)
	}
	entries, err := s.Root.ReadDir(dir)
	if err != nil {
		s.note(err)
		return nil
	}
	for _, e := range entries {
		if s.enough(0) {
			return found
		}
		if ok, _ := path.Match(first, e.Name()); ok {
			found = append(found, s.step(path.Join(dir, e.Name()), rest)...)
		}
	}
	return found
}

// step goes on from a path that the glob means so far.
func (s *System) step(name string, rest []string) []string {
	if len(rest) == 0 {
		if _, err := s.Root.Lstat(name); err != nil {
			return nil
		}
		return []string{name}
	}
	if dir, ok := s.folder(name); ok {
		return s.below(dir, rest)
	}
	return nil
}

// folder is where a folder of a glob really is. A link leads where a row looks only if the folder has the same name there:
// /var/spool/mail may be /var/mail, and /home may be /var/home, but /tmp must not be /usr.
func (s *System) folder(name string) (dir string, ok bool) {
	fi, err := s.Root.Lstat(name)
	switch {
	case err != nil:
		return "", false
	case fi.IsDir():
		return name, true
	case fi.Mode()&fs.ModeSymlink == 0:
		return "", false
	}
	dir, err = s.Root.Real(name)
	if err == nil && s.Root.IsDir(dir) && (path.Base(dir) == path.Base(name) || dir == "/var/roothome") {
		return dir, true
	}
	if err == nil && s.Astray != nil {
		s.Astray(name)
	}
	return "", false
}

// deep lists what the rest of a glob means in a folder and those below; with no rest, all files. Links are not followed.
func (s *System) deep(dir string, rest []string) (found []string) {
	if len(rest) > 0 {
		found = s.below(dir, rest)
	}
	entries, err := s.Root.ReadDir(dir)
	if err != nil {
		s.note(err)
		return found
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case s.enough(0):
			return found
		case e.IsDir():
			found = append(found, s.deep(name, rest)...)
		case len(rest) == 0:
			found = append(found, name)
		}
	}
	return found
}

// homes are those of all users, wherever they are, but none that is a folder of the system.
func (s *System) homes() (homes []string) {
	list := []string{"/root"}
	entries, _ := s.Root.ReadDir("/home") // an image may have none
	for _, e := range entries {
		list = append(list, "/home/"+e.Name())
	}
	text, _ := s.Root.ReadAs(rootfs.Setting, "/etc/passwd") // likewise
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 && path.IsAbs(f[5]) {
			list = append(list, path.Clean(f[5]))
		}
	}
	seen := map[string]bool{}
	for _, name := range list {
		if seen[name] || s.enough(0) {
			continue
		}
		seen[name] = true
		real, err := s.Root.Real(name)
		if err == nil && s.Root.IsDir(real) && !slices.Contains(ofSystem, real) && !seen["real "+real] {
			seen["real "+real] = true
			homes = append(homes, real)
		}
	}
	return homes
}

// ofSystem are folders that passwd names as homes of users that have none.
var ofSystem = []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/sbin", "/var"}

// Clear takes away what is at a path, but what is to be kept in it.
func (s *System) Clear(r Row, name string) error {
	switch {
	case r.How == Delete, len(r.made) > 0 && !slices.ContainsFunc(r.made, s.Root.Exists):
		_, err := s.remove(name)
		return err
	case r.How == Truncate:
		return s.Root.WriteFile(name, nil, 0o600) // owner and mode are those of the file
	}
	text, err := s.Root.ReadFile(name)
	if err != nil {
		return err
	}
	return s.Root.WriteFile(name, r.Cleared(text), 0o644)
}

func (s *System) remove(name string) (gone bool, err error) {
	fi, err := s.Root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || s.Keeps(name) {
		return false, err
	}
	if !fi.IsDir() {
		return true, s.Root.Remove(name)
	}
	entries, err := s.Root.ReadDir(name)
	if err != nil {
		return false, err
	}
	gone = true
	for _, e := range entries {
		inner, err := s.remove(path.Join(name, e.Name()))
		if err != nil {
			return false, err
		}
		gone = gone && inner
	}
	if !gone {
		return false, nil
	}
	return true, s.Root.Remove(name)
}
