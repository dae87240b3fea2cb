package liveos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// layOut makes the EFI system partition, and asks xorriso where the payload will lie: it comes first, so
// that depends on no file that is still to be made.
func (s *stage) layOut(ctx context.Context, now time.Time) error {
	if err := s.esp(ctx, now); err != nil {
		return err
	}
	return s.beside(func(work *rootfs.Root, name string) error {
		name += ".layout"
		file, err := work.Create(name, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = work.Remove(name) }() // it goes with the folder
		if err := errors.Join(s.xorriso(ctx, now, 1, file), file.Close()); err != nil {
			return err
		}
		m, err := openMedium(ctx, s.dir+".layout")
		if err != nil {
			return err
		}
		e, err := m.find(s.payloadPath())
		s.at = e.at
		return err
	})
}

// iso writes a medium to the file out: one that boots from a CD and from a USB stick, with UEFI and with
// BIOS. Its payload may be there already.
func (mk *Maker) iso(ctx context.Context, st *stage, out string) error {
	file, err := os.OpenFile(out, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if st.payload.file != out {
		return errors.Join(mk.write(ctx, st, file), file.Close())
	}
	skip := func(n int64) error {
		_, err := file.Seek(n, io.SeekCurrent)
		return err
	}
	return errors.Join(st.graft(ctx, mk.Now, file, skip), file.Close())
}

// write writes a medium anywhere, with a copy of its payload.
func (mk *Maker) write(ctx context.Context, st *stage, w io.Writer) error {
	return st.payload.read(func(r *io.SectionReader) error {
		return st.graft(ctx, mk.Now, w, func(n int64) error {
			_, err := io.CopyN(w, r, n)
			return err
		})
	})
}

// graft has xorriso write the medium with a file that stands for the payload, and has put write the next
// bytes of the payload instead.
func (s *stage) graft(ctx context.Context, now time.Time, w io.Writer, put func(n int64) error) error {
	g := &graft{w: w, from: s.at, to: s.at + s.payload.size, put: put}
	err := s.xorriso(ctx, now, s.payload.size, g)
	if g.err == nil && err == nil && g.at < g.to {
		g.err = errMisplaced
	}
	if g.err != nil {
		err = g.err // of which xorriso only sees that nobody takes what it writes
	}
	if err != nil {
		return fmt.Errorf("write the medium: %w", err)
	}
	return nil
}

var errMisplaced = errors.New("the system is not where it was to be on the medium")

// graft writes what it is given, but for the bytes between two places.
type graft struct {
	w            io.Writer
	at, from, to int64
	put          func(n int64) error
	err          error
}

// mark is the first and the last byte of a file that stands for the payload.
const mark = 'p'

func (g *graft) Write(p []byte) (done int, err error) {
	for done < len(p) && g.err == nil {
		rest := p[done:]
		switch {
		case g.at < g.from:
			rest = rest[:min(int64(len(rest)), g.from-g.at)]
			_, g.err = g.w.Write(rest)
		case g.at < g.to:
			rest = rest[:min(int64(len(rest)), g.to-g.at)]
			if g.at == g.from && rest[0] != mark || g.at+int64(len(rest)) == g.to && rest[len(rest)-1] != mark {
				g.err = errMisplaced
				break
			}
			g.err = g.put(int64(len(rest)))
		default:
			_, g.err = g.w.Write(rest)
		}
		done += len(rest)
		g.at += int64(len(rest))
	}
	return done, g.err
}

// xorriso has xorriso write the medium, with a file of that size that stands for the payload. The EFI system
// partition is appended as a partition of a master boot record, which the boot catalog names too: so a USB
// stick has a partition table that leaves room behind the medium.
func (s *stage) xorriso(ctx context.Context, now time.Time, size int64, w io.Writer, more ...string) error {
	standIn := s.dir + ".payload"
	return s.beside(func(work *rootfs.Root, name string) error {
		name += ".payload"
		if err := writeStandIn(work, name, size); err != nil {
			return err
		}
		defer func() { _ = work.Remove(name) }() // it goes with the folder
		return xorriso(ctx, now, s.mkisofs(standIn, more), w, filepath.Dir(s.dir))
	})
}

// mkisofs are xorriso's arguments for the medium.
func (s *stage) mkisofs(standIn string, more []string) []string {
	args := append([]string{"-as", "mkisofs", "-quiet"}, more...)
	args = append(args, "-iso-level", "3", "-R", "-J", "-joliet-long", "-V", Label, "-partition_offset", "16", "-c", "/boot/boot.cat")
	if s.firmware.bios != "" {
		args = append(args, "--grub2-mbr", s.dir+".mbr", "-b", s.biosPath(), "-no-emul-boot",
			"-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info")
	}
	if s.firmware.shim != "" {
		args = append(args, "-append_partition", "2", "0xef", s.dir+".esp")
		if s.firmware.bios != "" {
			args = append(args, "-eltorito-alt-boot")
		}
		args = append(args, "-e", "--interval:appended_partition_2:all::", "-no-emul-boot")
	}
	const first = "1000" // El Torito's boot images have 500
	return append(args, "--sort-weight", first, s.payloadPath(), "-o", "-", "-graft-points", "/="+s.dir, s.payloadPath()+"="+standIn)
}

// writeStandIn makes a file that stands for the payload and takes up next to nothing.
func writeStandIn(work *rootfs.Root, name string, size int64) error {
	file, err := work.Create(name, 0o600)
	if err != nil {
		return err
	}
	_, first := file.WriteAt([]byte{mark}, 0)
	_, last := file.WriteAt([]byte{mark}, size-1)
	return errors.Join(first, last, file.Close())
}

// size is how many bytes a medium will have.
func (s *stage) size(ctx context.Context, now time.Time) (int64, error) {
	var text strings.Builder
	if err := s.xorriso(ctx, now, s.payload.size, &text, "-print-size"); err != nil {
		return 0, err
	}
	const block = 2048
	n, err := strconv.ParseInt(strings.TrimSpace(text.String()), 10, 64)
	return n * block, err
}

// xorriso runs xorriso, whose standard output is the medium: it takes no path that is a symbolic link, such
// as those in /proc.
func xorriso(ctx context.Context, now time.Time, args []string, w io.Writer, reads ...string) error {
	c := hostcmd.New("xorriso", args...).Reading(reads...)
	c.Env, c.Stdout, c.Quiet = reproducible(now), w, true
	return c.Run(ctx)
}

// espSlack is what the EFI system partition has besides its programs, and espLeast its least size.
const (
	espSlack = 2 << 20
	espLeast = 3 << 20
)

// esp makes the EFI system partition: shim and GRUB, and a grub.cfg wherever a signed GRUB may look.
func (s *stage) esp(ctx context.Context, now time.Time) error {
	if s.firmware.shim == "" {
		return nil
	}
	return s.beside(func(work *rootfs.Root, name string) (err error) {
		name += ".esp.d"
		defer func() { err = errors.Join(err, work.RemoveAll(name)) }()
		if err := work.MkdirAll(name, 0o755); err != nil {
			return err
		}
		root, err := work.Sub(name)
		if err != nil {
			return err
		}
		defer root.Close()
		if err := errors.Join(s.redirects(root, grubPlaces(s), ""), s.programs(root, "EFI/BOOT")); err != nil {
			return err
		}
		size, err := treeSize(root)
		if err != nil {
			return err
		}
		return s.makeESP(ctx, work, max(size+espSlack, espLeast), now)
	})
}

// makeESP packs the staged folder as a FAT filesystem.
func (s *stage) makeESP(ctx context.Context, work *rootfs.Root, size int64, now time.Time) error {
	f, err := work.Create(path.Base(s.dir)+".esp", 0o644)
	if err != nil {
		return err
	}
	const unit = 1 << 20
	if err := errors.Join(f.Truncate((size+unit-1)/unit*unit), f.Close()); err != nil {
		return err
	}
	file, dir := s.dir+".esp", s.dir+".esp.d"
	mkfs := hostcmd.New("mkfs.vfat", "--invariant", file).Writing(file)
	copied := hostcmd.New("mcopy", "-s", "-m", "-Q", "-i", file, filepath.Join(dir, "EFI"), filepath.Join(dir, "boot"), "::").Reading(dir).Writing(file)
	mkfs.Env, copied.Env = reproducible(now), reproducible(now)
	if err := mkfs.Run(ctx); err != nil {
		return err
	}
	return copied.Run(ctx)
}

// grubPlaces are the folders where a signed GRUB may look for its configuration.
func grubPlaces(st *stage) []string {
	places := append(grubFolders[:len(grubFolders):len(grubFolders)], vendorPlaces(st)...)
	places = append(places, ownPlaces(st)...)
	slices.Sort(places)
	return slices.Compact(places)
}

// ownPlaces are those where the image's own GRUBs look.
func ownPlaces(st *stage) (places []string) {
	programs := []string{st.firmware.grub}
	if st.spec.Network {
		programs = append(programs, st.firmware.net)
	}
	for _, program := range programs {
		if g := readGRUB(st.m.Root, program); g != nil && strings.HasPrefix(g.Prefix, "/") && g.Prefix != "/" {
			places = append(places, strings.TrimPrefix(path.Clean(g.Prefix), "/"))
		}
	}
	return places
}

// placesOnCD are those of the medium itself, on which /boot is as in the image.
func placesOnCD(st *stage) []string {
	places := slices.DeleteFunc(grubPlaces(st), func(p string) bool { return !strings.HasPrefix(p, "EFI/") })
	return append(places, ownPlaces(st)...)
}

// grubFolders are those that known distributions have built into theirs, or that their firmware names.
var grubFolders = []string{
	"EFI/BOOT", "EFI/debian", "EFI/ubuntu", "EFI/fedora", "EFI/azurelinux", "EFI/redhat", "EFI/centos", "EFI/almalinux", "EFI/rocky",
	"EFI/opensuse", "EFI/sles", "EFI/kali", "EFI/devuan", "EFI/amzn", "boot/grub", "boot/grub2",
}

// readGRUB reads how an EFI program of the image was built; nil where it is no GRUB.
func readGRUB(root *rootfs.Root, name string) *efi.GRUB {
	data, err := root.ReadFile(name)
	if name == "" || err != nil {
		return nil
	}
	p, err := efi.Read(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	return p.GRUB
}

// vendorPlaces are the folders of the image's ESP that no place of ours covers.
func vendorPlaces(st *stage) (places []string) {
	for _, v := range st.firmware.vendors {
		places = append(places, "EFI/"+v)
	}
	slices.Sort(places)
	return slices.DeleteFunc(slices.Compact(places), func(p string) bool { return p == "EFI/boot" || p == "EFI/BOOT" || p == "EFI/Boot" })
}

func treeSize(root *rootfs.Root) (size int64, err error) {
	err = root.Walk("/", func(_ string, e fs.DirEntry) error {
		fi, err := e.Info()
		if err == nil {
			const cluster = 4096
			size += (fi.Size() + cluster - 1) / cluster * cluster
		}
		return err
	})
	return size, err
}
