package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"imagecustomizer/internal/artifact"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// inject is the worker's part of putting files into an image.
func (w *worker) inject(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.loadWorking(ctx, w.copyDisk, image.Open); err != nil {
		return err
	}
	d := w.machine.Opened()
	problems := append(w.checkOutputs(), w.checkFormats(w.machine.Facts.DiskSize)...)
	problems = append(problems, w.checkInjections()...)
	if len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	inParts := slices.ContainsFunc(w.job.Outputs, inParts)
	for _, s := range d.Sealed {
		w.noteVerity(s)
	}
	finish := needed(
		part{plan.Task(plan.Output, "describe", "list packages and boot entries for the output", w.inspect), inParts},
		part{plan.Task(plan.Seal, "close", "unmount the filesystems", func(context.Context) error { return w.closeUnchanged(inParts) }), true},
		part{plan.Task(plan.System, "inject", fmt.Sprintf("put %d files into the image", len(w.job.Files)), w.putFiles), true},
		part{plan.Task(plan.Seal, "shrink", "shrink the filesystems", w.shrink), w.shrinksEarly()},
		part{plan.Task(plan.Check, "verify", "look at the finished image", w.verify), true},
		part{plan.Task(plan.Check, "check", "check the filesystems", w.checkDisk), true},
		part{plan.Task(plan.Seal, "detach", "detach the disk", w.detach), true},
	)
	return w.run(ctx, append(finish, w.writing(storage.FinalPartitions(nil, d.Table.Partitions))...)...)
}

// closeUnchanged unmounts an image of which nothing was changed as yet.
func (w *worker) closeUnchanged(trim bool) error {
	if trim {
		if err := w.machine.Opened().Trim(); err != nil {
			return err
		}
	}
	return w.machine.Unmount()
}

// checkInjections looks for files that have no place in this image.
func (w *worker) checkInjections() (problems []plan.Problem) {
	for i, f := range w.job.Files {
		add := func(key, format string, args ...any) {
			problems = append(problems, plan.Problem{Step: "inject", Path: fmt.Sprintf("injectFiles[%d].%s", i, key), Text: fmt.Sprintf(format, args...)})
		}
		v, err := w.partition(f)
		switch {
		case err != nil:
			add("partition", "%v", err)
		case !slices.Contains(writable, v.Content.Type):
			add("partition", "partition %d holds no filesystem that can be written to (it holds %s)", v.Number, orNothing(v.Content.Type))
		case w.kept(v):
			add("partition", "partition %d is sealed by dm-verity: a file that is put there breaks the seal", v.Number)
		}
		if err := w.fits(f); err != nil {
			add("source", "%v", err)
		}
	}
	return problems
}

// writable are the filesystems that files can be put into.
var writable = []string{"vfat", "ext2", "ext3", "ext4", "xfs", "btrfs"}

func orNothing(what string) string {
	if what == "" {
		return "nothing known"
	}
	return what
}

// partition is where a file goes.
func (w *worker) partition(f artifact.Injection) (disk.Volume, error) {
	name := f.Partition.Name()
	found := disk.NamedToKernel(w.machine.Opened().Volumes, name)
	switch len(found) {
	case 0:
		return disk.Volume{}, fmt.Errorf("no partition of the image is %s", name)
	case 1:
		return *found[0], nil
	}
	return disk.Volume{}, fmt.Errorf("%d partitions of the image are %s", len(found), name)
}

// kept tells whether a partition is part of a dm-verity device.
func (w *worker) kept(v disk.Volume) bool {
	return slices.ContainsFunc(w.machine.Opened().Sealed, func(s image.Sealed) bool { return s.Data.Number == v.Number || s.Hash.Number == v.Number })
}

// fits looks at what is to be put into the image: a program must be what it is said to be, for this machine.
func (w *worker) fits(f artifact.Injection) error {
	file, err := os.Open(f.Source.Resolved)
	if err != nil {
		return err
	}
	defer file.Close()
	return artifact.Check(file, f, w.machine.Facts.Arch)
}

// putFiles puts the files into the image, partition by partition, and looks whether they are there.
func (w *worker) putFiles(ctx context.Context) error {
	byPartition := map[int][]artifact.Injection{}
	for _, f := range w.job.Files {
		v, err := w.partition(f)
		if err != nil {
			return err
		}
		byPartition[v.Number] = append(byPartition[v.Number], f)
	}
	for _, v := range w.machine.Opened().Volumes {
		list := byPartition[v.Number]
		if len(list) == 0 {
			continue
		}
		if err := w.putOn(ctx, v, list); err != nil {
			return err
		}
	}
	return nil
}

// putOn puts files onto one partition.
func (w *worker) putOn(ctx context.Context, v disk.Volume, list []artifact.Injection) error {
	d, files := w.machine.Opened(), injections{list, v.Content.Type == "vfat"}
	if err := w.checkRoom(ctx, v, files); err != nil {
		return err
	}
	if err := d.Write(ctx, v, files.each(putFile)); err != nil {
		return err
	}
	return d.Read(ctx, v, files.each(compareFile))
}

// injections are the files for one partition.
type injections struct {
	list []artifact.Injection
	fold bool // its filesystem has one file for names that differ in case
}

// each does something with each file, of which name is that in the image.
func (i injections) each(do func(root *rootfs.Root, source *os.File, name string) error) func(*rootfs.Root) error {
	return func(root *rootfs.Root) error {
		for _, f := range i.list {
			source, err := os.Open(f.Source.Resolved)
			if err == nil {
				err = errors.Join(do(root, source, i.name(root, string(f.Destination))), source.Close())
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.Destination, err)
			}
		}
		return nil
	}
}

func (i injections) name(root *rootfs.Root, destination string) string {
	if !i.fold {
		return destination
	}
	return root.Fold(path.Join(root.Fold(path.Dir(destination)), path.Base(destination)))
}

func putFile(root *rootfs.Root, source *os.File, name string) error {
	if root.IsDir(name) {
		return &failure.Failure{Code: failure.Config, Err: errors.New("it is a directory in the image")}
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return root.CopyFrom(source, name, 0o644)
}

func compareFile(root *rootfs.Root, source *os.File, name string) error {
	want, err := rootfs.SHA256(source)
	if err != nil {
		return err
	}
	return root.WithFile(name, func(file *os.File) error {
		got, err := rootfs.SHA256(file)
		if err == nil && got != want {
			err = errors.New("what was read back is not what was written")
		}
		return err
	})
}

// checkRoom looks whether files fit on a FAT filesystem, which is told in words that help before anything is written.
func (w *worker) checkRoom(ctx context.Context, v disk.Volume, files injections) error {
	if v.Content.Type != "vfat" {
		return nil
	}
	_, free, err := disk.FATSpace(io.NewSectionReader(w.machine.Disk, v.Start, v.Size))
	if err != nil {
		return err
	}
	more := int64(0)
	err = w.machine.Opened().Read(ctx, v, files.each(func(root *rootfs.Root, source *os.File, name string) error {
		fi, err := source.Stat()
		if err != nil {
			return err
		}
		more += fi.Size()
		old, err := root.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil:
			more -= old.Size()
		}
		return err
	}))
	if err == nil && more > free {
		err = fmt.Errorf("the files take %d KiB more than before, but partition %d has only %d KiB free", more>>10, v.Number, free>>10)
	}
	return err
}
