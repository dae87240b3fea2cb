package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// FAT is a FAT filesystem shown in a folder: mounted where the kernel has vfat, otherwise as a
// staged copy whose changes are written back through mtools when it is closed.
type FAT struct {
	Staged  bool
	device  string   // node of the partition
	watched *Watched // where the kernel mounts it
	dir     string   // where it is shown
	before  map[string]staged
	flags   map[string]string // attributes R, H and S by folded name; mcopy drops them
}

// staged is what tells whether something in a staged copy was changed.
type staged struct {
	name  string // below the folder
	dir   bool
	size  int64
	mtime time.Time
	ctime time.Time // cannot be set back by a program
}

// OpenFAT shows the filesystem of a partition in an empty folder.
func OpenFAT(ctx context.Context, device, dir string) (*FAT, error) {
	f := &FAT{device: device, dir: dir}
	if err := f.repair(ctx); err != nil {
		return nil, fmt.Errorf("the FAT filesystem on %s is damaged: %w", device, err)
	}
	err := underMountName(device, func(name string) error {
		return unix.Mount(name, dir, "vfat", unix.MS_NODEV|unix.MS_NOATIME, "umask=0077,utf8=1")
	})
	if err == nil {
		if f.watched, err = Watch(dir); err != nil {
			return nil, errors.Join(err, Unmount(dir))
		}
		return f, nil
	}
	slog.Debug("the kernel does not mount FAT; a copy is worked on", "device", device, "error", err)
	return f.stage(ctx)
}

// repair sets right what an unclean shutdown left, such as the mark of one. Otherwise the check after
// a run would find errors that the run did not make.
func (f *FAT) repair(ctx context.Context) error {
	check := hostcmd.New("fsck.vfat", "-n", f.device).Reading(f.device)
	if check.Run(ctx) == nil {
		return nil
	}
	const repaired = 1 // exit status
	if err := hostcmd.New("fsck.vfat", "-a", f.device).Writing(f.device).Run(ctx); err != nil && hostcmd.ExitStatus(err) != repaired {
		return err
	}
	if err := check.Run(ctx); err != nil {
		return err
	}
	slog.Warn("a FAT filesystem of the image had errors, which were repaired", "device", f.device)
	return nil
}

// stage copies the files to a tmpfs of the filesystem's size, mounted at the folder. FAT has no links: one that
// is made there leads nowhere.
func (f *FAT) stage(ctx context.Context) (*FAT, error) {
	f.Staged = true
	size, err := deviceSize(f.device)
	if err != nil {
		return nil, err
	}
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOSYMFOLLOW
	if err := unix.Mount("fat", f.dir, "tmpfs", flags, fmt.Sprintf("mode=0700,size=%d", size)); err != nil {
		return nil, fmt.Errorf("stage the FAT filesystem on %s: %w", f.device, err)
	}
	if err := f.copyOut(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the FAT filesystem on %s: %w", f.device, err), Unmount(f.dir))
	}
	return f, nil
}

// deviceSize is the size in bytes of a block device or file.
func deviceSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, unix.SEEK_END)
}

func (f *FAT) copyOut(ctx context.Context) error {
	list, err := f.mtools("mattrib", "-X", "-/", "::/").Output(ctx)
	if err != nil && strings.TrimSpace(list) != "D ::/" { // it fails where there is nothing but the root folder
		return err
	}
	f.flags = parseFlags(list)
	if strings.Count(list, "\n") > 1 { // more than the root folder
		if err := f.mtools("mcopy", "-s", "-p", "-Q", "-m", "-n", "::/*", "./").Run(ctx); err != nil {
			return err
		}
	}
	f.before, err = f.scan()
	return err
}

// parseFlags reads lines such as "ASHR ::/NAME".
func parseFlags(list string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(list) {
		flags, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ::/")
		if flags = strings.Trim(flags, "AD"); flags != "" && name != "" {
			found[fold(name)] = flags
		}
	}
	return found
}

// mtoolsEnv keeps mtools from reading the user's configuration.
var mtoolsEnv = append([]string{"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1"}, hostcmd.DefaultEnv...)

func (f *FAT) mtools(program string, args ...string) *hostcmd.Cmd {
	c := hostcmd.New(program, append([]string{"-i", f.device}, args...)...).Writing(f.device, f.dir)
	c.Dir = f.dir // a path of this process, not of others
	c.Env = mtoolsEnv
	return c
}

// fold makes names that FAT takes for the same equal.
func fold(name string) string { return strings.ToLower(name) }

// scan lists the staged copy by folded name. Two files that differ only in case are one file to FAT:
// the one that was changed wins, as if it had replaced the other.
func (f *FAT) scan() (map[string]staged, error) {
	root, err := rootfs.New(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	found := map[string]staged{}
	err = root.Walk("/", func(path string, d fs.DirEntry) error {
		fi, err := d.Info()
		if err != nil {
			return err
		}
		is := staged{strings.TrimPrefix(path, "/"), d.IsDir(), fi.Size(), fi.ModTime(), rootfs.Changed(fi)}
		if is.dir {
			is.size = 0
		}
		if err := f.fits(d, is); err != nil {
			return err
		}
		other, twice := found[fold(is.name)]
		switch {
		case !twice || other.dir && is.dir || !f.changed(other):
			found[fold(is.name)] = is
		case f.changed(is):
			return fmt.Errorf("/%s and /%s differ only in case: FAT cannot hold both", other.name, is.name)
		}
		return nil
	})
	return found, err
}

// fits refuses what vfat would have refused when it was made.
func (f *FAT) fits(d fs.DirEntry, is staged) error {
	bad := func(r rune) bool { return r < ' ' || r > 0xffff || strings.ContainsRune(`\:*?"<>|`, r) }
	switch {
	case !d.IsDir() && !d.Type().IsRegular():
		return fmt.Errorf("/%s is neither a file nor a folder: FAT cannot hold it", is.name)
	case strings.ContainsFunc(is.name, bad):
		return fmt.Errorf("%q is no name that FAT can hold", "/"+is.name)
	}
	return nil
}

func (f *FAT) changed(is staged) bool {
	was, there := f.before[fold(is.name)]
	return !there || is.dir != was.dir || !is.dir && is != was
}

// Close writes changes back and takes the folder's content away.
func (f *FAT) Close(ctx context.Context) error {
	if !f.Staged {
		return f.watched.Unmount()
	}
	err := f.writeBack(ctx)
	if err != nil {
		err = fmt.Errorf("write to the FAT filesystem on %s: %w", f.device, err)
	}
	return errors.Join(err, Unmount(f.dir))
}

// writeBack carries the differences over: what is gone, new folders, changed files, and the
// attributes that those had; each kind with as few programs as possible, since each reads the whole
// allocation table.
func (f *FAT) writeBack(ctx context.Context) error {
	after, err := f.scan()
	if err != nil {
		return err
	}
	d := f.difference(after)
	for _, step := range []struct {
		program string
		args    []string
		names   []string
	}{
		{"mdel", nil, existing(d.goneFiles)},
		{"mdeltree", nil, existing(d.goneDirs)},
		{"mmd", []string{"-D", "s"}, created(d.newDirs)},
	} {
		if len(step.names) > 0 {
			if err := f.mtools(step.program, append(step.args, step.names...)...).Run(ctx); err != nil {
				return err
			}
		}
	}
	if err := f.copyIn(ctx, d.changed); err != nil {
		return err
	}
	return f.restoreFlags(ctx, d.changed)
}

// copyIn writes files, one program a folder.
func (f *FAT) copyIn(ctx context.Context, names []string) error {
	byDir := map[string][]string{}
	for _, n := range names {
		dir := filepath.Dir(n)
		byDir[dir] = append(byDir[dir], "./"+n)
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		args := append([]string{"-o", "-m", "-Q"}, byDir[dir]...)
		target := "::/"
		if dir != "." {
			target = existing([]string{dir})[0] + "/"
		}
		if err := f.mtools("mcopy", append(args, target)...).Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *FAT) restoreFlags(ctx context.Context, names []string) error {
	byFlags := map[string][]string{}
	for _, n := range names {
		if flags := f.flags[fold(n)]; flags != "" {
			byFlags[flags] = append(byFlags[flags], n)
		}
	}
	for flags, names := range byFlags {
		var args []string
		for _, r := range strings.ToLower(flags) {
			args = append(args, "+"+string(r))
		}
		if err := f.mtools("mattrib", append(args, existing(names)...)...).Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// changes are the differences between two states of a staged filesystem, in the order in which they
// can be carried out.
type changes struct{ goneFiles, goneDirs, newDirs, changed []string }

func (f *FAT) difference(after map[string]staged) (d changes) {
	for key, was := range f.before {
		is, there := after[key]
		parent := filepath.Dir(key)
		switch {
		case there && is.dir == was.dir, parent != "." && !after[parent].dir: // there, or gone with its folder
		case was.dir:
			d.goneDirs = append(d.goneDirs, was.name)
		default:
			d.goneFiles = append(d.goneFiles, was.name)
		}
	}
	for _, is := range after {
		switch {
		case !f.changed(is):
		case is.dir:
			d.newDirs = append(d.newDirs, is.name)
		default:
			d.changed = append(d.changed, is.name)
		}
	}
	for _, l := range [][]string{d.goneFiles, d.goneDirs, d.newDirs, d.changed} {
		slices.Sort(l) // parents before what is in them
	}
	return d
}

// existing writes paths as mtools looks them up, where [ ] enclose wild cards.
func existing(paths []string) (out []string) {
	for _, p := range paths {
		out = append(out, "::/"+escapeWild.Replace(p))
	}
	return out
}

// created writes paths for something to be made: the last component is taken as it is.
func created(paths []string) (out []string) {
	for _, p := range paths {
		dir, base := filepath.Split(p)
		out = append(out, "::/"+escapeWild.Replace(dir)+base)
	}
	return out
}

var escapeWild = strings.NewReplacer("[", `\[`, "]", `\]`)
