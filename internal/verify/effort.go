package verify

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"imagecustomizer/internal/rootfs"
)

// Limits on the work that an image can make. Real systems stay far below.
const (
	mostEffort = 3_000_000 // units of about a microsecond: something compared is one, a name that is looked up ten
	mostBytes  = 2 << 30   // that are compared or unpacked
	lookup     = 10        // units
)

// effort is what may still be done for one image. Whatever goes through things that an image may hold any number of asks
// it for each of them.
type effort struct {
	ctx   context.Context
	units int
	bytes int64
	spent bool
}

// more tells whether there is time for so many units more. When there is not, Run says so.
func (e *effort) more(units int) bool {
	e.units += units
	if e.units > mostEffort || e.ctx.Err() != nil {
		e.spent = true
	}
	return !e.spent
}

// moreBytes is more for what is compared or unpacked as a whole.
func (e *effort) moreBytes(n int64) bool {
	e.bytes += n
	if e.bytes > mostBytes {
		e.spent = true
	}
	return e.more(lookup)
}

// unlooked says that not all was looked at.
func (s *system) unlooked() []Finding {
	if !s.spent {
		return nil
	}
	return []Finding{{
		Check: "effort", Text: "the image holds more names, lines or data than are looked at: not everything was checked",
		Hint: "\"imagecustomizer verify --log-level debug\" tells how many boot entries and kernels there are",
	}}
}

// setting is the content of a configuration file; "" where there is none. One that cannot be read is found fault with once.
func (s *system) setting(name string) string { return s.read(rootfs.Setting, name) }

func (s *system) read(kind rootfs.Kind, name string) string {
	data, err := s.Root.ReadAs(kind, name)
	if err != nil && !missing(err) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.EISDIR) {
		s.broken.at(name, 0, "cannot be read: %v", plain(err))
	}
	if !s.more(lookup + len(data)>>8) {
		return ""
	}
	return string(data)
}

// plain is an error without the path that a finding has already.
func plain(err error) error {
	if p, is := errors.AsType[*fs.PathError](err); is {
		return p.Err
	}
	return err
}

// names lists a directory, as long as there is time for that many names.
func (s *system) names(dir string) []fs.DirEntry {
	entries, _ := s.Root.ReadDir(dir)
	if !s.more(lookup + len(entries)/4) {
		return nil
	}
	return entries
}

// folded are the names of a directory by how they read without capitals.
func (s *system) folded(dir string) map[string]string {
	if names, known := s.folds[dir]; known {
		return names
	}
	names := map[string]string{}
	for _, e := range s.names(dir) {
		names[strings.ToLower(e.Name())] = e.Name()
	}
	s.folds[dir] = names
	return names
}

// fold returns the path of a file whose name may be written in capitals or not, as on a FAT; the path
// itself where there is none.
func (s *system) fold(name string) string {
	dir, base := path.Split(name)
	if name == "/" || name == "" || !s.more(lookup) || s.Root.Exists(name) {
		return name
	}
	dir = s.fold(path.Clean(dir))
	if real := s.folded(dir)[strings.ToLower(base)]; real != "" {
		return path.Join(dir, real)
	}
	return name
}

// inode tells files from each other, whatever their names.
func inode(fi os.FileInfo) [2]uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{st.Dev, st.Ino}
	}
	return [2]uint64{}
}
