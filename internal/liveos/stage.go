package liveos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/bootmedium"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// stage is a folder with the small files of a medium: everything but the root filesystem. Files of the image
// lie in it, so nothing is read or written there but through root.
type stage struct {
	dir      string
	root     *rootfs.Root // of that folder, until the stage is complete
	m        *machine.Machine
	spec     Spec
	kernels  []boot.Kernel
	firmware firmware
	payload  *payload
	at       int64  // where the payload lies on the medium
	iso      *stage // medium that is downloaded, which has the payload then
	added    []SavedFile
}

func newStage(m *machine.Machine, s Spec, work *rootfs.Root, name string) (*stage, error) {
	found, err := kernels(m, s.FullOS)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the image has no kernel")
	}
	if err := work.MkdirAll(name, 0o755); err != nil {
		return nil, err
	}
	root, err := work.Sub(name)
	if err != nil {
		return nil, err
	}
	return &stage{
		dir: filepath.Join(work.Dir(), name), root: root, m: m, spec: s, kernels: found, firmware: findFirmware(m),
	}, nil
}

// fill writes the stage, with empty files for what is still to be made.
func (s *stage) fill() error {
	for _, f := range []func() error{s.boot, s.grub, s.efi, s.additional, s.save, s.missing} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// later maps the files that are still to be made to where Prepare puts them.
func (s *stage) later() map[string]string {
	files := map[string]string{}
	if !s.spec.FullOS {
		for _, k := range s.kernels {
			files[k.Initramfs] = initramfsFile(k)
		}
	}
	if !s.spec.Network && s.firmware.bios != "" {
		files[s.biosPath()] = biosImage
	}
	return files
}

// missing makes files that stand for those that are still to be made.
func (s *stage) missing() error {
	const most = 32 << 10 // what xorriso wants of a boot image
	for name := range s.later() {
		if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := replace(s.root, name, bytes.NewReader(make([]byte, most)), 0o644); err != nil {
			return err
		}
	}
	return s.root.RemoveAll(s.bigFile()) // a file of the user has no place there
}

// complete puts the files into the stage that are made now, in the folder that it lies in. Nothing is written
// there afterwards.
func (s *stage) complete(work *rootfs.Root) error {
	for name, made := range s.later() {
		if err := errors.Join(s.root.Remove(name), s.root.LinkFrom(work, made, name)); err != nil {
			return err
		}
	}
	return s.root.Close()
}

// beside runs f with the folder that the stage lies in, where files of ours have names that begin with its own.
func (s *stage) beside(f func(work *rootfs.Root, name string) error) error {
	work, err := rootfs.New(filepath.Dir(s.dir))
	if err != nil {
		return err
	}
	defer work.Close()
	return f(work, filepath.Base(s.dir))
}

// payloadPath is where a medium has its packed system.
func (s *stage) payloadPath() string {
	switch {
	case s.spec.FullOS:
		return s.kernels[0].Initramfs
	case usesLiveBoot(s.m):
		return liveBootRoot
	}
	return dracutRoot
}

// bigFile is the one file of a medium that the stage does not hold.
func (s *stage) bigFile() string {
	if s.spec.downloads() {
		return s.spec.ISOName
	}
	return s.payloadPath()
}

// inPlace tells whether the payload can be packed where it lies on the medium: its packer takes an offset.
func (s *stage) inPlace() bool {
	return s.payload != nil && !s.spec.Network && (s.spec.FullOS || s.spec.Filesystem.Type == "squashfs")
}

// diskOnly are files that the disk boots with, a live system does not.
var diskOnly = regexp.MustCompile(`^(initramfs-.*\.img|initrd\.img.*|initrd-.*|efi|EFI|loader|lost\+found)$`)

// boot copies the image's /boot, but not what only the disk can boot with.
func (s *stage) boot() error {
	return copyTree(s.m.Root, "/boot", s.root, "/boot", func(name string) bool {
		return path.Dir(name) == "/boot" && diskOnly.MatchString(path.Base(name))
	})
}

// grub writes the menu and, for BIOS, the core image, which the medium's boot catalog names.
func (s *stage) grub() error {
	scheme, err := boot.Detect(s.m.Root)
	if err != nil {
		return err
	}
	text, err := s.medium().Rewrite(s.m.Root, scheme)
	if err != nil {
		return err
	}
	more, err := s.withoutPersistence(scheme)
	if err != nil {
		return err
	}
	if err := s.root.WriteFile(scheme.Config, []byte(text+more), 0o644); err != nil {
		return err
	}
	if s.spec.Network || s.firmware.bios == "" {
		return nil
	}
	return s.biosModules()
}

// biosModules copies GRUB's modules for BIOS: the menu uses more than the core image has, and an image
// that boots with UEFI has none in /boot. GRUB's boot sector for a medium that is a USB stick lies beside them.
func (s *stage) biosModules() error {
	root, dir := s.m.Root, s.firmware.bios
	if s.firmware.hostBIOS {
		host, err := rootfs.New(dir)
		if err != nil {
			return err
		}
		defer host.Close()
		root, dir = host, "/"
	}
	sector, err := root.ReadAs(rootfs.Program, path.Join(dir, "boot_hybrid.img"))
	if err != nil {
		return err
	}
	if err := s.beside(func(work *rootfs.Root, name string) error { return work.WriteFile(name+".mbr", sector, 0o644) }); err != nil {
		return err
	}
	return copyTree(root, dir, s.root, path.Dir(s.biosPath()), func(name string) bool {
		return path.Ext(name) != ".mod" && path.Ext(name) != ".lst"
	})
}

func (s *stage) biosPath() string { return path.Join(grubDir(s.m), "i386-pc", "eltorito.img") }

// diskArgs are the names of arguments that are about the disk the image was on.
var diskArgs = []string{"root", "rootfstype", "rootflags", "resume", "rw"}

func (s *stage) medium() bootmedium.Medium {
	med := bootmedium.Medium{Label: Label, Drop: diskArgs, Args: s.args(), Kernels: s.kernels}
	if s.spec.Network {
		med.Label = ""
	}
	if s.spec.SELinuxOff {
		med.Drop, med.Args = append(slices.Clone(diskArgs), selinuxArgs...), append([]string{"selinux=0"}, med.Args...)
	}
	return med
}

const persistenceArg = "rd.imagecustomizer.persistence"

// args are the kernel arguments of every entry: those of the live boot, then the user's.
func (s *stage) args() []string {
	var args []string
	switch {
	case s.spec.FullOS:
	case usesLiveBoot(s.m):
		args = s.liveBootArgs()
	default:
		args = s.dracutArgs()
	}
	if s.spec.Persistence != "" {
		args = append(args, persistenceArg+"="+s.spec.Persistence)
	}
	return append(args, s.spec.Args...)
}

func (s *stage) dracutArgs() []string {
	root := "root=live:LABEL=" + Label
	if s.spec.Network {
		root = "root=live:" + s.spec.URL
	}
	args := []string{root, "rd.shell", "rd.live.image", "rd.live.dir=" + liveDir, "rd.live.squashimg=" + rootImage, "rd.live.overlay.overlayfs"}
	if s.spec.Network {
		args = append(args, "ip=dhcp")
	}
	// Dracut as it is published waits for a key where rd.live.overlay names nothing; some distributions' can be told not to.
	script, _ := s.m.Root.ReadFile(path.Join(moduleFolder(s.m, "dmsquash-live"), "dmsquash-live-root.sh"))
	if strings.Contains(string(script), "nouserconfirmprompt") {
		args = append(args, "rd.live.overlay=1", "rd.live.overlay.nouserconfirmprompt")
	}
	if s.spec.Network && s.azureDownloader() {
		args = append(args, "rd.live.azldownloader=enable")
	}
	return args
}

// azureDownloader tells whether the image's dracut has the downloader that Azure Linux adds to it.
func (s *stage) azureDownloader() bool {
	dir := moduleFolder(s.m, "livenet")
	entries, _ := s.m.Root.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		data, _ := s.m.Root.ReadFile(path.Join(dir, e.Name()))
		return strings.Contains(string(data), "azldownloader")
	})
}

// furtherEntries begins what the menu of a system that keeps changes has behind the image's own.
const furtherEntries = "# Systems that do not keep changes\n"

// choice lets the user reach the further menu entries where the image's menu does not wait for a key.
const choice = "if [ \"$timeout\" = 0 ]; then\n\tset timeout_style=menu\n\tset timeout=5\nfi\n"

// withoutPersistence are further menu entries for systems that keep changes: those that do not.
func (s *stage) withoutPersistence(scheme boot.Scheme) (text string, err error) {
	if s.spec.Persistence == "" {
		return "", nil
	}
	plain := *s
	plain.spec.Persistence = ""
	args, err := plain.medium().LiveArgs(s.m.Root, scheme)
	if err != nil {
		return "", err
	}
	text = furtherEntries
	for _, k := range s.kernels {
		e, err := bootmedium.MenuEntry("Linux "+k.Version+", changes are not kept", k, args)
		if err != nil {
			return "", err
		}
		text += e
	}
	return text + choice, nil
}

// redirect is a grub.cfg for the places where a signed GRUB looks for one. It leads to the menu.
func (s *stage) redirect() string {
	search := "search --no-floppy --set=root --label " + Label + "\n"
	if s.spec.Network {
		search = ""
	}
	return search + "set prefix=($root)" + grubDir(s.m) + "\nconfigfile $prefix/" + path.Base(s.m.Facts.Boot.Config) + "\n"
}

// efi copies the EFI programs to where firmware looks for them on a medium unpacked to a USB stick.
func (s *stage) efi() error {
	if s.firmware.shim == "" {
		return nil
	}
	if s.spec.Network {
		return s.netEFI()
	}
	if err := s.programs(s.root, "/efi/boot"); err != nil {
		return err
	}
	if err := putText(s.root, "/efi/boot/grub.cfg", s.redirect()); err != nil {
		return err
	}
	// GRUB 2.12 takes the medium itself for where it was started from, if that was a CD.
	return s.redirects(s.root, placesOnCD(s), grubDir(s.m))
}

// netEFI puts the EFI programs at the top, where a TFTP server offers them.
func (s *stage) netEFI() error {
	if err := s.programs(s.root, "/"); err != nil {
		return err
	}
	return s.redirects(s.root, append(grubPlaces(s), ".", "grub"), grubDir(s.m))
}

// redirects writes the redirecting grub.cfg to folders of a tree, but for the one of the menu itself.
func (s *stage) redirects(root *rootfs.Root, places []string, menu string) error {
	for _, p := range places {
		if "/"+p == menu {
			continue
		}
		if err := putText(root, path.Join(p, "grub.cfg"), s.redirect()); err != nil {
			return err
		}
	}
	return nil
}

// programs copies the EFI programs to a folder, under the names that the firmware and shim look for.
func (s *stage) programs(root *rootfs.Root, dir string) error {
	end, grub := suffix(s.m), s.firmware.grub
	if s.spec.Network && s.firmware.net != "" {
		grub = s.firmware.net
	}
	for name, from := range map[string]string{"boot" + end: s.firmware.shim, "grub" + end: grub, "mm" + end: s.firmware.mok} {
		if from == "" {
			continue
		}
		if err := s.m.Root.WithFile(from, func(f *os.File) error { return put(root, path.Join(dir, name), f, 0o644) }); err != nil {
			return err
		}
	}
	return nil
}

// additional puts the user's files onto the medium.
func (s *stage) additional() error {
	for _, f := range s.spec.Files {
		mode, err := s.add(f)
		if err != nil {
			return err
		}
		s.added = append(s.added, SavedFile{path.Clean("/" + f.Destination), fmt.Sprintf("%04o", mode.Perm())})
	}
	return nil
}

func (s *stage) add(f File) (mode fs.FileMode, err error) {
	if f.medium != nil {
		return f.Mode, f.medium.read(f.Destination, func(r *io.SectionReader) error { return put(s.root, f.Destination, r, f.Mode) })
	}
	if f.Content != nil {
		return f.Mode, put(s.root, f.Destination, strings.NewReader(*f.Content), f.Mode)
	}
	src, mode, err := hostfs.Open(f.Source)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	if f.Mode != 0 {
		mode = f.Mode
	}
	return mode, put(s.root, f.Destination, src, mode)
}
