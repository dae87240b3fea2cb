package verify

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// Limits on what is read of one program, since an image may have any.
const (
	maxHeaders   = 8 << 20 // bytes of the parts that are read
	maxInterp    = 4096    // bytes of the name of an interpreter
	maxScripts   = 4       // interpreters that are scripts themselves; the kernel follows 5
	maxLibraries = 256     // of one program, with those that they need in turn
)

const notThere = "is not there"

// runsOn are the machines whose programs a kernel runs, by its architecture as uname -m says it.
var runsOn = map[string][]elf.Machine{
	"x86_64": {elf.EM_X86_64, elf.EM_386}, "aarch64": {elf.EM_AARCH64, elf.EM_ARM}, "riscv64": {elf.EM_RISCV},
	"i686": {elf.EM_386}, "armv7l": {elf.EM_ARM},
}

// unstartable says why the kernel could not start a program of the image, or "". It follows links inside the image,
// the interpreters of scripts, and the libraries that a program needs.
func (s *system) unstartable(name string) string {
	if s.programs == nil {
		s.programs = map[string]string{}
	}
	text, known := s.programs[name]
	if !known {
		text = s.whyNot(name, 0)
		s.programs[name] = text
	}
	return text
}

func (s *system) whyNot(name string, scripts int) string {
	fi, err := s.Root.Stat(name)
	switch {
	case err != nil && missing(err):
		if target, err := s.Root.Readlink(name); err == nil {
			return fmt.Sprintf("leads to %s, which the image does not have", target)
		}
		return notThere
	case err != nil:
		return fmt.Sprintf("cannot be reached: %v", errors.Unwrap(err))
	case !fi.Mode().IsRegular():
		return "is not a file"
	case fi.Mode()&0o111 == 0:
		return "is not executable"
	case fi.Size() == 0:
		return "is empty"
	}
	f, err := s.Root.Open(name, 0, 0)
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err)
	}
	defer f.Close()
	head := make([]byte, 256) // as much as the kernel looks at (its include/uapi/linux/binfmts.h)
	n, _ := io.ReadFull(f, head)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("#!")):
		return s.whyNoScript(head[2:], scripts)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return s.whyNoBinary(name, f)
	}
	return "is neither a program nor a script"
}

func (s *system) whyNoScript(line []byte, scripts int) string {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	switch {
	case len(words) == 0:
		return "is a script that names no interpreter"
	case scripts == maxScripts:
		return "is a script whose interpreter is a script, and so on"
	}
	if text := s.whyNot(words[0], scripts+1); text != "" {
		return fmt.Sprintf("is a script whose interpreter %s %s", words[0], text)
	}
	return ""
}

// whyNoBinary looks at what the kernel looks at, and then at the libraries.
func (s *system) whyNoBinary(name string, f io.ReaderAt) string {
	x, err := elf.NewFile(&budget{f, maxHeaders})
	if err != nil {
		return fmt.Sprintf("is a damaged program: %v", err)
	}
	if machines := runsOn[s.Arch]; machines != nil && !slices.Contains(machines, x.Machine) {
		return fmt.Sprintf("is a program for another machine (%s)", x.Machine)
	}
	loader := interpreter(x)
	if loader == "" {
		return "" // it is linked statically
	}
	if fi, err := s.Root.Stat(loader); err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 {
		return fmt.Sprintf("needs the loader %s, which the image does not have", loader)
	}
	return s.missingLibrary(name, x)
}

// interpreter is the loader of a program that is linked with shared libraries.
func interpreter(x *elf.File) string {
	for _, p := range x.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz <= maxInterp {
			text := make([]byte, p.Filesz)
			n, _ := p.ReadAt(text, 0)
			return string(bytes.TrimRight(text[:n], "\x00"))
		}
	}
	return ""
}

// missingLibrary looks for the libraries that a program needs where its loader does, ld.so(8), and for those that they
// need. What a loader finds by its cache alone lies in the directories of /etc/ld.so.conf too.
func (s *system) missingLibrary(name string, x *elf.File) string {
	machine, seen := x.Machine, map[string]bool{}
	queue := s.wants(name, x, nil)
	for len(queue) > 0 && len(seen) < maxLibraries {
		want := queue[0]
		queue = queue[1:]
		if seen[want.name] {
			continue
		}
		seen[want.name] = true
		more, is := s.library(want, machine)
		if !is {
			return fmt.Sprintf("needs the library %s, which the image does not have", want.name)
		}
		queue = append(queue, more...)
	}
	return ""
}

// wanted is a library that a program or library needs, and where its loader looks before all else.
type wanted struct {
	name string
	dirs []string
}

// wants lists what a file needs. Where it is linked with a search path of the old kind, what it needs inherits that.
func (s *system) wants(file string, x *elf.File, inherited []string) (list []wanted) {
	real, err := s.Root.Real(file)
	if err != nil {
		real = file
	}
	paths := func(tag elf.DynTag) (dirs []string) {
		texts, _ := x.DynString(tag)
		for _, dir := range strings.FieldsFunc(strings.Join(texts, ":"), func(c rune) bool { return c == ':' }) {
			dirs = append(dirs, strings.NewReplacer("${ORIGIN}", path.Dir(real), "$ORIGIN", path.Dir(real)).Replace(dir))
		}
		return dirs
	}
	dirs := paths(elf.DT_RUNPATH)
	if len(dirs) == 0 {
		dirs = append(paths(elf.DT_RPATH), inherited...)
	}
	names, _ := x.DynString(elf.DT_NEEDED)
	for _, n := range names[:min(len(names), maxLibraries)] {
		list = append(list, wanted{n, dirs})
	}
	return list
}

// library looks for a library, and returns what that needs.
func (s *system) library(want wanted, machine elf.Machine) (needs []wanted, is bool) {
	places := []string{want.name}
	if !strings.Contains(want.name, "/") {
		places = nil
		for _, dir := range append(want.dirs[:len(want.dirs):len(want.dirs)], s.libraryDirs()...) {
			places = append(places, path.Join(dir, want.name))
		}
	}
	for _, file := range places {
		f, err := s.Root.Open(file, 0, 0)
		if err != nil {
			continue
		}
		defer f.Close()
		if x, err := elf.NewFile(&budget{f, maxHeaders}); err == nil && x.Machine == machine {
			return s.wants(file, x, want.dirs), true
		}
	}
	return nil, false
}

// libraryDirs are where a loader looks: the directories that are configured, and those built into the loaders of
// distributions.
func (s *system) libraryDirs() []string {
	if s.dirs != nil {
		return s.dirs
	}
	s.readLoaderConf("/etc/ld.so.conf", 0)
	for _, dir := range []string{"/lib", "/usr/lib"} {
		entries, _ := s.Root.ReadDir(dir)
		for _, e := range entries {
			if strings.Contains(e.Name(), "-linux-") { // Debian's multiarch
				s.dirs = append(s.dirs, path.Join(dir, e.Name()))
			}
		}
	}
	s.dirs = append(s.dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib64", "/usr/local/lib")
	return s.dirs
}

const (
	maxIncludes    = 3   // files of ld.so.conf that include others
	maxLibraryDirs = 128 // that are looked through
)

func (s *system) readLoaderConf(file string, depth int) {
	text, _ := s.Root.ReadAs(rootfs.Setting, file)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "include" && depth < maxIncludes:
			dir, pattern := path.Split(words[1])
			entries, _ := s.Root.ReadDir(path.Join("/etc", strings.TrimPrefix(dir, "/etc")))
			for _, e := range entries {
				if is, _ := path.Match(pattern, e.Name()); is {
					s.readLoaderConf(path.Join("/etc", strings.TrimPrefix(dir, "/etc"), e.Name()), depth+1)
				}
			}
		case len(words) == 1 && path.IsAbs(words[0]) && len(s.dirs) < maxLibraryDirs:
			s.dirs = append(s.dirs, words[0])
		}
	}
}

// budget bounds how much is read of a file.
type budget struct {
	io.ReaderAt
	left int
}

var errBudget = errors.New("more would have to be read of it than of any program")

// ReadAt reads as long as there is budget left.
func (b *budget) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errBudget
	}
	return b.ReaderAt.ReadAt(p, at)
}
