package liveos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/bootmedium"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
)

// Sizes of the disk that a medium is unpacked to, in bytes. Its file takes only what is written.
const (
	unpackedESP   = 64 << 20
	unpackedExtra = 2 << 30 // free space, and what does not follow the packed size
	unpackedTimes = 4       // how much larger a system may be than its packed form
)

// rootFeatures are those of the new root filesystem: every kernel and boot loader that this program
// knows can read them.
var rootFeatures = []string{
	"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg", "sparse_super", "large_file", "huge_file", "dir_nlink", "extra_isize",
}

// Unpack makes a disk, in an empty file, of a medium that this program has made: with the system, its
// kernels and boot loader, ready to be customized and to be booted with UEFI. dir is a folder to mount
// it on; ids makes the disk's identifiers.
//
// Unpack returns what the medium was made with.
func Unpack(ctx context.Context, name string, file *os.File, dir string, ids func(name string) string) (saved Saved, err error) {
	m, err := openMedium(ctx, name)
	if err != nil {
		return saved, err
	}
	if saved, err = m.saved(); err != nil {
		return saved, err
	}
	if saved.InitramfsType == initramfsType(true) {
		return saved, errors.New("this ISO image has its system in the initramfs (initramfsType: full-os), from where it cannot be unpacked")
	}
	if err := saved.keepFiles(m); err != nil {
		return saved, err
	}
	e, err := m.root()
	if err != nil {
		return saved, err
	}
	l := unpackedLayout(e.size, ids)
	d, err := image.Create(ctx, file, l, dir)
	if err != nil {
		return saved, err
	}
	u := unpacker{medium: m, saved: saved, root: d.Root, layout: l}
	return saved, errors.Join(u.unpack(ctx, e.at), d.Close())
}

// UnpackedSize is the size of the disk that Unpack makes.
func UnpackedSize(ctx context.Context, name string) (int64, error) {
	m, err := openMedium(ctx, name)
	if err != nil {
		return 0, err
	}
	e, err := m.root()
	if err != nil {
		return 0, fmt.Errorf("%w; a system in the initramfs (initramfsType: full-os) cannot be unpacked", err)
	}
	return unpackedLayout(e.size, func(string) string { return "" }).Size, nil
}

func unpackedLayout(packed int64, ids func(name string) string) *disk.Layout {
	const unit = 1 << 20
	size := (packed*unpackedTimes+unpackedExtra)/unit*unit + unpackedESP
	rootAt := int64(unit + unpackedESP)
	esp := disk.Partition{Number: 1, Start: unit, Size: unpackedESP, Type: disk.TypeESP, UUID: ids("esp"), Name: "esp"}
	root := disk.Partition{Number: 2, Start: rootAt, Size: size - rootAt - unit, Type: disk.TypeGUID("linux-generic", ""), UUID: ids("root"), Name: "root"}
	rootID, espID := ids("root filesystem"), "4C49-5645"
	return &disk.Layout{
		Size: size, Table: disk.Table{Kind: "gpt", SectorSize: 512, ID: ids("disk"), Partitions: []disk.Partition{esp, root}},
		Filesystems: []disk.Format{{Partition: 1, Type: "vfat", UUID: espID}, {Partition: 2, Type: "ext4", UUID: rootID, Features: rootFeatures}},
		Mounts: []disk.LayoutMount{
			{Partition: 2, Entry: disk.Entry{Source: "UUID=" + rootID, Target: "/", Type: "ext4", Options: []string{"defaults"}, Pass: 1}},
			{Partition: 1, Entry: disk.Entry{Source: "UUID=" + espID, Target: "/boot/efi", Type: "vfat", Options: []string{"umask=0077"}, Pass: 2}},
		},
	}
}

// unpacker fills the disk.
type unpacker struct {
	medium *medium
	saved  Saved
	root   *rootfs.Root
	layout *disk.Layout
}

func (u unpacker) unpack(ctx context.Context, at int64) error {
	if u.saved.Filesystem.Type == "erofs" {
		return errors.New("the root filesystem of this ISO image is erofs, which cannot be unpacked")
	}
	unpack := hostcmd.New("unsquashfs", "-no-progress", "-quiet", "-force", "-offset", strconv.FormatInt(at, 10), "-dest", u.root.Dir(), u.medium.name).Reading(u.medium.name).Writing(u.root.Dir())
	if err := u.root.WithoutLinks(func() error { return unpack.Run(ctx) }); err != nil {
		return fmt.Errorf("unpack the root filesystem: %w", err)
	}
	for _, f := range []func() error{u.boot, u.esp, u.menu, u.fstab} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// boot copies the kernels and the boot loader's files back.
func (u unpacker) boot() error {
	for name := range u.medium.files {
		if !strings.HasPrefix(name, "/boot/") || name == "/boot/boot.cat" || path.Base(name) == "eltorito.img" || u.redirects(name) {
			continue
		}
		if err := u.copy(name, name); err != nil {
			return err
		}
	}
	links := map[string]string{}
	for name, target := range u.medium.links {
		if _, err := u.root.Lstat(path.Dir(name)); err == nil && strings.HasPrefix(name, "/boot/") {
			links[name] = target
		}
	}
	return addLinks(u.root, links)
}

// redirects tells whether a file does nothing but lead to the menu, which a disk needs elsewhere.
func (u unpacker) redirects(name string) bool {
	return path.Base(name) == "grub.cfg" && name != path.Clean("/"+u.saved.GrubConfig)
}

// copy copies a file of the medium to the disk.
func (u unpacker) copy(from, to string) error {
	return u.medium.read(from, func(r *io.SectionReader) error {
		if err := u.root.MkdirAll(path.Dir(to), 0o755); err != nil {
			return err
		}
		return replace(u.root, to, r, 0o644)
	})
}

// esp puts the EFI programs back, and the files that lead their GRUB to its menu.
func (u unpacker) esp() error {
	found := false
	for name := range u.medium.files {
		if base, ok := strings.CutPrefix(name, "/efi/boot/"); ok && !strings.Contains(base, "/") {
			found = true
			if !strings.HasSuffix(base, ".efi") {
				continue
			}
			if err := u.copy(name, "/boot/efi/EFI/BOOT/"+base); err != nil {
				return err
			}
		}
	}
	if !found {
		return nil // a medium for BIOS only
	}
	text := "search --no-floppy --fs-uuid --set=root " + u.rootID() + "\nset prefix=($root)" + path.Dir(u.saved.GrubConfig) +
		"\nconfigfile $prefix/" + path.Base(u.saved.GrubConfig) + "\n"
	for _, p := range grubFolders {
		if err := putText(u.root, "/boot/efi/"+p+"/grub.cfg", text); err != nil {
			return err
		}
	}
	return nil
}

func (u unpacker) rootID() string {
	return strings.TrimPrefix(u.layout.Mounts[0].Entry.Source, "UUID=")
}

// liveArgs are the names of arguments that only a live medium has.
var liveArgs = []string{
	"root", "rd.live.image", "rd.live.dir", "rd.live.squashimg", "rd.live.overlay", "rd.live.overlay.overlayfs",
	"rd.live.overlay.nouserconfirmprompt", "rd.shell", persistenceArg,
}

// menu rewrites GRUB's menu for the disk.
func (u unpacker) menu() error {
	scheme, err := boot.Detect(u.root)
	if err != nil {
		return err
	}
	found, err := boot.Kernels(u.root)
	if err != nil || len(found) == 0 {
		return errors.Join(errors.New("the medium has no kernel"), err)
	}
	sortKernels(found)
	m := bootmedium.Medium{UUID: u.rootID(), Drop: liveArgs, Omit: append(slices.Clone(liveBootArgs), u.saved.KernelArgs...), Args: []string{"root=UUID=" + u.rootID()}, Kernels: found}
	if u.saved.SELinuxOff {
		m.Drop, m.Args = append(slices.Clone(liveArgs), selinuxArgs...), append(m.Args, u.saved.SELinuxArgs...)
	}
	text, err := m.Rewrite(u.root, scheme)
	if err != nil {
		return err
	}
	text, _, _ = strings.Cut(text, furtherEntries)
	return u.root.WriteFile(scheme.Config, []byte(text), 0o600)
}

func (u unpacker) fstab() error {
	text := ""
	for _, m := range u.layout.Mounts {
		text += m.Entry.String() + "\n"
	}
	return putText(u.root, "/etc/fstab", text)
}
