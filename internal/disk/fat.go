package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// mtoolsEnv keeps mtools from reading the user's configuration and makes its times those of the
// files.
var mtoolsEnv = append([]string{"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1"}, hostcmd.DefaultEnv...)

// FAT is a FAT filesystem shown in a folder: mounted where the kernel has vfat, otherwise as a
// staged copy whose changes are written back through mtools when it is closed.
type FAT struct {
	device string // node of the partition
	dir    string // where it is shown
	staged bool
	before map[string]stamp // of a staged copy
}

// stamp tells whether a staged file was changed.
type stamp struct {
	size  int64
	mtime time.Time
	ctime time.Time // cannot be set back by a program
	dir   bool
}

// OpenFAT shows the filesystem of a partition in an empty folder.
func OpenFAT(ctx context.Context, device, dir string) (*FAT, error) {
	f := &FAT{device: device, dir: dir}
	err := unix.Mount(device, dir, "vfat", unix.MS_NODEV|unix.MS_NOATIME, "umask=0077,utf8=1")
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("mount FAT filesystem %s: %w", device, err)
	}
	f.staged = true
	return f, f.stage(ctx)
}

// stage copies the files out to a tmpfs mounted at the folder.
func (f *FAT) stage(ctx context.Context) error {
	if err := unix.Mount("esp", f.dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=0700"); err != nil {
		return fmt.Errorf("stage FAT filesystem: %w", err)
	}
	names, err := f.mtools(ctx, "mdir", "-b", "-a", "::/").Output(ctx)
	if err != nil {
		return fmt.Errorf("read FAT filesystem: %w", err)
	}
	if strings.TrimSpace(names) != "" {
		if err := f.mtools(ctx, "mcopy", "-s", "-p", "-Q", "-m", "-n", "::/*", f.dir+"/").Run(ctx); err != nil {
			return fmt.Errorf("read FAT filesystem: %w", err)
		}
	}
	f.before, err = f.scan()
	return err
}

func (f *FAT) mtools(_ context.Context, program string, args ...string) *hostcmd.Cmd {
	c := hostcmd.New(program, append([]string{"-i", f.device}, args...)...)
	c.Env = mtoolsEnv
	return c
}

func (f *FAT) scan() (map[string]stamp, error) {
	found := map[string]stamp{}
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == f.dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(f.dir, path)
		c := fi.Sys().(*syscall.Stat_t).Ctim
		found[rel] = stamp{fi.Size(), fi.ModTime(), time.Unix(c.Sec, c.Nsec), fi.IsDir()}
		return nil
	})
	return found, err
}

// Close writes changes back and takes the folder's content away.
func (f *FAT) Close(ctx context.Context) error {
	var err error
	if f.staged {
		err = f.writeBack(ctx)
	}
	return errors.Join(err, Unmount(f.dir))
}

// writeBack carries the differences over: what is gone, new folders, then changed files, each kind
// with one program.
func (f *FAT) writeBack(ctx context.Context) error {
	after, err := f.scan()
	if err != nil {
		return err
	}
	d := difference(f.before, after)
	for _, step := range []struct {
		program string
		args    []string
		names   []string
	}{
		{"mdel", nil, d.goneFiles},
		{"mdeltree", nil, d.goneDirs},
		{"mmd", []string{"-D", "s"}, d.newDirs},
	} {
		if len(step.names) == 0 {
			continue
		}
		args := append(step.args, fatNames(step.names)...)
		if err := f.mtools(ctx, step.program, args...).Run(ctx); err != nil {
			return fmt.Errorf("write to FAT filesystem: %w", err)
		}
	}
	return f.copyFiles(ctx, d.changed)
}

// copyFiles writes files into the folders they belong to, one program a folder. mcopy drops the
// read-only, hidden and system attributes of a file it replaces; an ESP has none.
func (f *FAT) copyFiles(ctx context.Context, names []string) error {
	byDir := map[string][]string{}
	for _, n := range names {
		if fi, err := os.Lstat(filepath.Join(f.dir, n)); err != nil || !fi.Mode().IsRegular() {
			return fmt.Errorf("/%s is not a regular file: FAT cannot hold it", n)
		}
		byDir[filepath.Dir(n)] = append(byDir[filepath.Dir(n)], filepath.Join(f.dir, n))
	}
	for dir, files := range byDir {
		args := append([]string{"-o", "-m", "-Q"}, files...)
		target := "::/"
		if dir != "." {
			target = fatNames([]string{dir})[0] + "/"
		}
		if err := f.mtools(ctx, "mcopy", append(args, target)...).Run(ctx); err != nil {
			return fmt.Errorf("write to FAT filesystem: %w", err)
		}
	}
	return nil
}

// changes are the differences between two states of a staged filesystem, in the order in which they
// can be carried out.
type changes struct{ goneFiles, goneDirs, newDirs, changed []string }

func difference(before, after map[string]stamp) (d changes) {
	for name, was := range before {
		is, there := after[name]
		if there && is.dir == was.dir {
			continue
		}
		if was.dir {
			if parent, ok := before[filepath.Dir(name)]; !ok || !parent.dir || has(after, filepath.Dir(name)) {
				d.goneDirs = append(d.goneDirs, name)
			}
		} else if dir := filepath.Dir(name); dir == "." || has(after, dir) {
			d.goneFiles = append(d.goneFiles, name)
		}
	}
	for name, is := range after {
		was, there := before[name]
		switch {
		case is.dir && (!there || !was.dir):
			d.newDirs = append(d.newDirs, name)
		case !is.dir && (!there || was != is):
			d.changed = append(d.changed, name)
		}
	}
	for _, l := range []([]string){d.goneFiles, d.goneDirs, d.newDirs, d.changed} {
		slices.Sort(l) // parents before what is in them
	}
	return d
}

func has(m map[string]stamp, name string) bool {
	s, ok := m[name]
	return ok && s.dir
}

// fatNames writes paths as mtools takes them, where * ? [ ] are wild cards.
func fatNames(paths []string) []string {
	escape := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)
	var out []string
	for _, p := range paths {
		out = append(out, "::/"+escape.Replace(filepath.ToSlash(p)))
	}
	return out
}
