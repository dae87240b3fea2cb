// Package files puts files and directories into the image (os.additionalFiles, os.additionalDirs).
package files

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// AdditionalFile is a file to put into the image. Missing parent folders are made. The owner is
// root; a file that exists is overwritten in place.
type AdditionalFile struct {
	Source      config.Path        `yaml:"source" doc:"File to copy. Either this or content."`
	Content     *string            `yaml:"content" secret:"takes" doc:"Text to write; it may be empty. Either this or source."`
	Destination ImagePath          `yaml:"destination" required:"true" doc:"Absolute path in the image." example:"/etc/motd"`
	Permissions config.Permissions `yaml:"permissions" doc:"Permission bits in octal. Default: those of the source, or 644 for content." example:"\"644\""`

	Secrets []string `yaml:"-"` // names of secret variables that the content holds
}

// Validate checks that there is one source of content, and that it is there.
func (f *AdditionalFile) Validate(at *config.At) {
	switch has := at.Has("source"); {
	case has && f.Content != nil:
		at.Field("content").Errorf("content and source exclude each other").Hint("keep one of them")
	case !has && f.Content == nil:
		at.Errorf("the file has neither source nor content").Hint("add \"source:\" with a file, or \"content:\" with its text")
	}
	f.Source.NeedFile(at.Field("source"))
	f.Secrets = at.Field("content").Secrets()
	if !strings.HasPrefix(at.Path(), "os.") && len(f.Secrets) > 0 {
		at.Field("content").Errorf("a live medium cannot hold a secret").Hint("write the file in the image, with os.additionalFiles")
	}
	if !strings.HasPrefix(at.Path(), "iso.") && !strings.HasPrefix(at.Path(), "pxe.") { // a live medium has such folders too
		CheckKept(string(f.Destination), at.Field("destination"))
	}
}

// ImagePath is an absolute path inside the image.
type ImagePath string

// Describe tells how the path is written.
func (ImagePath) Describe() config.Form {
	return config.Form{Kind: "path", Pattern: `^/[^\x00]*[^/\x00]$`, Except: `^/+(\.{1,2}/+)*\.{0,2}$`}
}

// Validate checks that the path is absolute and names a file.
func (p *ImagePath) Validate(at *config.At) {
	switch s := string(*p); {
	case !strings.HasPrefix(s, "/") || strings.Contains(s, "\x00"):
		at.Errorf("%q is not an absolute path in the image", s).Hint("begin it with \"/\"")
	case strings.HasSuffix(path.Clean(s)+"/", "//"), strings.HasSuffix(s, "/"):
		at.Errorf("%q names a folder", s).Hint("name the file")
	}
}

// AdditionalDir is a folder to merge into the image, with everything in it.
type AdditionalDir struct {
	Source               config.Path        `yaml:"source" required:"true" doc:"Folder to copy."`
	Destination          DirPath            `yaml:"destination" required:"true" doc:"Absolute path in the image." example:"/etc/app"`
	NewDirPermissions    config.Permissions `yaml:"newDirPermissions" default:"755" doc:"Permission bits of folders that are made."`
	MergedDirPermissions config.Permissions `yaml:"mergedDirPermissions" default:"unchanged" doc:"Permission bits of folders that exist already."`
	ChildFilePermissions config.Permissions `yaml:"childFilePermissions" default:"755" doc:"Permission bits of the files."`
}

// DirPath is the absolute path of a folder inside the image; the root folder is one.
type DirPath string

// Describe tells how the path is written.
func (DirPath) Describe() config.Form { return config.Form{Kind: "path", Pattern: `^[^\x00]+$`} }

// Validate checks that there is a path. A relative one begins at the image's root, as in the reference.
func (p *DirPath) Validate(at *config.At) {
	if !p.Describe().Fits(string(*p)) {
		at.Errorf("%q is not a path in the image", string(*p)).Hint("begin it with \"/\"")
	}
}

// Validate checks that the folder is there.
func (d *AdditionalDir) Validate(at *config.At) {
	d.Source.NeedDir(at.Field("source"))
	CheckKept(string(d.Destination), at.Field("destination"))
}

// AdditionalDirs are directories to merge into the image.
type AdditionalDirs []AdditionalDir

// Used tells whether there are some.
func (l AdditionalDirs) Used() bool { return len(l) > 0 }

// Touches are their destinations.
func (l AdditionalDirs) Touches() (list []feature.Touch) {
	for i, d := range l {
		list = append(list, feature.Touch{Path: string(d.Destination), At: fmt.Sprintf("[%d]", i)})
	}
	return list
}

// Plan copies one after the other.
func (l AdditionalDirs) Plan(*feature.Given) (plan.Plan, []plan.Problem) {
	return asPlan(l.copies()), nil
}

// Record names the files with their hashes.
func (l AdditionalDirs) Record() (any, error) {
	return feature.RecordEach(l, func(d AdditionalDir) (map[string]any, error) {
		hashes, err := feature.HashTree(d.Source.Resolved)
		return map[string]any{"source": d.Source.Text, "destination": d.Destination, "sha256hashmap": hashes}, err
	})
}

func (l AdditionalDirs) copies() (list []CopyDir) {
	for i, d := range l {
		s := CopyDir{Source: d.Source.Resolved, Destination: path.Join("/", string(d.Destination)), NewDirs: 0o755, Files: 0o755, Path: fmt.Sprintf("os.additionalDirs[%d]", i)}
		if d.NewDirPermissions.Set {
			s.NewDirs = d.NewDirPermissions.Mode
		}
		if d.ChildFilePermissions.Set {
			s.Files = d.ChildFilePermissions.Mode
		}
		if d.MergedDirPermissions.Set {
			s.MergedDirs = &d.MergedDirPermissions.Mode
		}
		list = append(list, s)
	}
	return list
}

// AdditionalFiles are files to put into the image.
type AdditionalFiles []AdditionalFile

// Used tells whether there are some.
func (l AdditionalFiles) Used() bool { return len(l) > 0 }

// Touches are their destinations.
func (l AdditionalFiles) Touches() (list []feature.Touch) {
	for i, f := range l {
		list = append(list, feature.Touch{Path: string(f.Destination), At: fmt.Sprintf("[%d]", i)})
	}
	return list
}

// Plan writes one after the other.
func (l AdditionalFiles) Plan(*feature.Given) (plan.Plan, []plan.Problem) {
	return asPlan(l.writes()), nil
}

// Record names the files with their hash.
func (l AdditionalFiles) Record() (any, error) {
	return feature.RecordEach(l, func(f AdditionalFile) (map[string]any, error) {
		d := map[string]any{"destination": f.Destination}
		if len(f.Secrets) > 0 {
			d["secrets"] = f.Secrets
			return d, nil
		}
		return d, feature.RecordText(d, "source", f.Source, f.Content)
	})
}

func (l AdditionalFiles) writes() (list []WriteFile) {
	for i, f := range l {
		s := WriteFile{Path: fmt.Sprintf("os.additionalFiles[%d]", i), Source: f.Source.Resolved, Content: f.Content, Destination: string(f.Destination)}
		if f.Permissions.Set {
			s.Mode = &f.Permissions.Mode
		}
		list = append(list, s)
	}
	return list
}

func asPlan[S plan.Step](steps []S) (p plan.Plan) {
	for _, s := range steps {
		p = append(p, s)
	}
	return p
}

// WriteFile puts one file into the image.
type WriteFile struct {
	Source      string       // on the build host
	Content     *string      // instead of Source
	Destination string       // in the image
	Mode        *fs.FileMode // nil keeps the source's
	Path        string       // in the config
}

// Name identifies the step.
func (WriteFile) Name() string { return "files.write" }

func (s WriteFile) String() string {
	if s.Content != nil {
		return fmt.Sprintf("write %s (%d bytes given in the config)", s.Destination, len(*s.Content))
	}
	return fmt.Sprintf("copy %s to %s", s.Source, s.Destination)
}

// Run writes the file.
func (s WriteFile) Run(_ context.Context, m *machine.Machine) error {
	var src io.Reader
	mode := fs.FileMode(0o644)
	if s.Content != nil {
		src = strings.NewReader(*s.Content)
	} else {
		f, perm, err := hostfs.Open(s.Source)
		if err != nil {
			return err
		}
		defer f.Close()
		src, mode = f, perm
	}
	if s.Mode != nil {
		mode = *s.Mode
	}
	if err := m.Root.MkdirAll(path.Dir(s.Destination), 0o755); err != nil {
		return err
	}
	return put(m.Root, src, s.Destination, mode, s.Mode != nil || s.Source != "")
}

// put writes a file and, where asked, gives one that existed the mode too.
func put(root *rootfs.Root, src io.Reader, dst string, mode fs.FileMode, force bool) error {
	if err := root.CopyFrom(src, dst, mode); err != nil {
		return err
	}
	if !force {
		return nil
	}
	return root.Chmod(dst, mode)
}

// CopyDir merges a folder into the image.
type CopyDir struct {
	Source      string
	Destination string
	NewDirs     fs.FileMode
	MergedDirs  *fs.FileMode // nil leaves them
	Files       fs.FileMode
	Path        string // in the config
}

// Name identifies the step.
func (CopyDir) Name() string { return "files.copy-folder" }

func (s CopyDir) String() string { return fmt.Sprintf("copy folder %s to %s", s.Source, s.Destination) }

// Run copies the tree. Links to files are followed, as the reference does; a link to a folder is an
// error.
func (s CopyDir) Run(ctx context.Context, m *machine.Machine) error {
	if err := m.Root.MkdirAll(path.Dir(s.Destination), 0o755); err != nil {
		return err
	}
	return hostfs.Walk(s.Source, func(name string, isDir bool) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Source, name)
		if err != nil {
			return err
		}
		dst := path.Join(s.Destination, filepath.ToSlash(rel))
		if isDir {
			return s.folder(m, dst)
		}
		f, _, err := hostfs.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return put(m.Root, f, dst, s.Files, true)
	})
}

func (s CopyDir) folder(m *machine.Machine, dst string) error {
	if !m.Root.IsDir(dst) {
		return m.Root.MkdirAll(dst, s.NewDirs)
	}
	if s.MergedDirs == nil {
		return nil
	}
	return m.Root.Chmod(dst, *s.MergedDirs)
}

// SuppliedBy is what is known of files and directories by the checks of later steps.
func SuppliedBy(files AdditionalFiles, dirs AdditionalDirs) (s feature.Supplied) {
	for _, f := range files {
		s.Files = append(s.Files, feature.SuppliedFile{Destination: string(f.Destination), Source: f.Source.Resolved, Content: f.Content})
	}
	for _, c := range dirs.copies() {
		s.Dirs = append(s.Dirs, feature.SuppliedDir{Destination: c.Destination, Source: c.Source})
	}
	return s
}

// OneSource warns of files that overwrite each other, of which the last stays.
func OneSource(at *config.At, files []AdditionalFile) {
	list, first := at.Field("additionalFiles"), map[string]int{}
	for i, f := range files {
		to := path.Clean(string(f.Destination))
		if before, twice := first[to]; twice && f.Destination != "" && list.Index(before).Layer() == list.Index(i).Layer() {
			list.Index(i).Field("destination").Warnf("%s is the destination of two files, first in line %d: this one overwrites the other", to, list.Index(before).Field("destination").Line()).
				Hint("remove one of them, or choose another destination")
		}
		first[to] = i
	}
}
