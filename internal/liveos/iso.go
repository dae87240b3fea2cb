package liveos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// Maker makes media of an image whose filesystems are mounted and do not change any more, and whose
// Prepare has been run.
type Maker struct {
	Machine *machine.Machine
	Scratch string // folder for temporary files
	Now     time.Time

	count int // of media, for their folders
}

// ISO writes a medium to the file out: one that boots from a CD and from a USB stick, with UEFI and
// with BIOS.
func (mk *Maker) ISO(ctx context.Context, s Spec, out string) error {
	st, err := mk.stage(ctx, s)
	if err != nil {
		return err
	}
	defer os.RemoveAll(st.dir)
	return mk.assemble(ctx, st, out)
}

// stage fills the folder of a medium.
func (mk *Maker) stage(ctx context.Context, s Spec) (*stage, error) {
	mk.count++
	dir := filepath.Join(mk.Scratch, fmt.Sprintf("medium%d", mk.count))
	st, err := newStage(mk.Machine, s, Dir(mk.Scratch), dir)
	if err != nil {
		return nil, err
	}
	if err := st.fill(); err != nil {
		return nil, err
	}
	if s.FullOS {
		return st, fullOS(ctx, mk.Machine, st.kernels, s.KeepKdump, st.path(st.kernels[0].Initramfs))
	}
	return st, nil
}

// assemble has xorriso write the medium. The EFI system partition is appended as a partition of a
// master boot record, which the boot catalog names too: so a USB stick has a partition table that
// leaves room behind the medium.
func (mk *Maker) assemble(ctx context.Context, st *stage, out string) error {
	args := []string{"-as", "mkisofs", "-quiet", "-iso-level", "3", "-R", "-J", "-joliet-long", "-V", Label, "-partition_offset", "16",
		"-c", "/boot/boot.cat"}
	if st.firmware.bios != "" {
		args = append(args, "--grub2-mbr", filepath.Join(st.prepared, hybridMBR), "-b", st.biosPath(), "-no-emul-boot",
			"-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info")
	}
	if st.firmware.shim != "" {
		esp := st.dir + ".esp"
		if err := mk.esp(ctx, st, esp); err != nil {
			return err
		}
		defer os.Remove(esp)
		args = append(args, "-append_partition", "2", "0xef", esp)
		if st.firmware.bios != "" {
			args = append(args, "-eltorito-alt-boot")
		}
		args = append(args, "-e", "--interval:appended_partition_2:all::", "-no-emul-boot")
	}
	args = append(args, "-o", "-", "-graft-points", "/="+st.dir)
	if !st.spec.FullOS {
		args = append(args, rootPath(mk.Machine)+"="+packedFile(st.prepared, st.spec))
	}
	return mk.xorriso(ctx, args, out)
}

// xorriso writes to an open file: it takes no path that is a symbolic link, such as those in /proc.
func (mk *Maker) xorriso(ctx context.Context, args []string, out string) error {
	file, err := os.OpenFile(out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	c := hostcmd.New("xorriso", args...)
	c.Env, c.Stdout, c.Quiet = reproducible(mk.Now), file, true
	if err := c.Run(ctx); err != nil {
		return fmt.Errorf("write the medium: %w", err)
	}
	return file.Close()
}

// espSlack is what the EFI system partition has besides its programs, and espLeast its least size.
const (
	espSlack = 2 << 20
	espLeast = 3 << 20
)

// esp makes the EFI system partition: shim and GRUB, and a grub.cfg wherever a signed GRUB may look.
func (mk *Maker) esp(ctx context.Context, st *stage, file string) error {
	dir := file + ".d"
	defer os.RemoveAll(dir)
	if err := st.redirects(dir, grubPlaces(st), ""); err != nil {
		return err
	}
	if err := st.programs(filepath.Join(dir, "EFI/BOOT")); err != nil {
		return err
	}
	size, err := treeSize(dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	const unit = 1 << 20
	if err := os.Truncate(file, (max(size+espSlack, espLeast)+unit-1)/unit*unit); err != nil {
		return err
	}
	mkfs := hostcmd.New("mkfs.vfat", "--invariant", file)
	copied := hostcmd.New("mcopy", "-s", "-m", "-Q", "-i", file, filepath.Join(dir, "EFI"), filepath.Join(dir, "boot"), "::")
	mkfs.Env, copied.Env = reproducible(mk.Now), reproducible(mk.Now)
	if err := mkfs.Run(ctx); err != nil {
		return err
	}
	return copied.Run(ctx)
}

// grubPlaces are the folders where a signed GRUB may look for its configuration.
func grubPlaces(st *stage) []string {
	return append(grubFolders[:len(grubFolders):len(grubFolders)], vendorPlaces(st)...)
}

// grubFolders are those that known distributions have built into theirs.
var grubFolders = []string{"EFI/BOOT", "EFI/debian", "EFI/ubuntu", "EFI/fedora", "EFI/azurelinux", "boot/grub", "boot/grub2"}

// vendorPlaces are the folders of the image's ESP that no place of ours covers.
func vendorPlaces(st *stage) (places []string) {
	for _, v := range st.firmware.vendors {
		places = append(places, "EFI/"+v)
	}
	slices.Sort(places)
	return slices.DeleteFunc(slices.Compact(places), func(p string) bool { return p == "EFI/boot" || p == "EFI/BOOT" || p == "EFI/Boot" })
}

func treeSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			const cluster = 4096
			size += (fi.Size() + cluster - 1) / cluster * cluster
		}
		return errors.Join(err)
	})
	return size, err
}
