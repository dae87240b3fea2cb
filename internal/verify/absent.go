package verify

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/kargs"
)

// absentArgs are arguments whose value names something that must be in the image, but for partitions by device: see
// deviceArgs. Each says what is wrong with a value, or "".
var absentArgs = map[string]func(s *system, value string) string{
	"init":            (*system).wrongInit,
	"systemd.unit":    (*system).wrongUnit,
	"rootfstype":      func(s *system, v string) string { return s.wrongType("/", v) },
	"mount.usrfstype": func(s *system, v string) string { return s.wrongType("/usr", v) },
	"rootflags":       func(s *system, v string) string { return s.wrongFlags("/", v) },
	"rd.luks.uuid":    (*system).wrongLUKS,
	"luks.uuid":       (*system).wrongLUKS,
	"rd.luks.name":    (*system).wrongLUKS,
	"luks.name":       (*system).wrongLUKS,
	"rd.lvm.vg":       (*system).wrongLVM,
	"rd.lvm.lv":       (*system).wrongLVM,
	"rd.md.uuid":      (*system).wrongRAID,
	"boot":            (*system).wrongBoot,
	"ostree":          (*system).wrongPath,
	"systemd.wants":   (*system).wrongUnit,
	"usrflags":        func(s *system, v string) string { return s.wrongFlags("/usr", v) },
	"mount.usrflags":  func(s *system, v string) string { return s.wrongFlags("/usr", v) },
	"real_init":       (*system).wrongInit,
	"systemd.run":     func(s *system, v string) string { return s.wrongInit(before(strings.TrimLeft(v, "-@:+!|"), " ")) },
	"loop":            (*system).wrongPath,
}

// severalArgs are those of which every one counts; of all others the last does.
var severalArgs = []string{"rd.luks.uuid", "luks.uuid", "rd.luks.name", "luks.name", "rd.lvm.vg", "rd.lvm.lv", "rd.md.uuid", "systemd.wants",
	"rd.systemd.wants", "luks.data", "rd.luks.data", "rd.luks.partuuid", "systemd.mount_extra", "rd.systemd.mount_extra", "systemd.swap_extra", "systemd.run", "cryptopts"}

// absent checks what the arguments of an entry name besides devices.
func (s *system) absent(found *list, e boot.Entry) {
	if !s.rootIsHere(e) {
		return
	}
	seen := map[string]bool{}
	for _, a := range slices.Backward(e.Args()) {
		if !s.more(1) {
			return
		}
		key, value := kargs.Name(a), after(a, "=")
		if value == "" || seen[key] && !slices.Contains(severalArgs, key) {
			continue
		}
		seen[key] = true
		if text := s.wrongArg(e, key, value); text != "" {
			found.at(e.File, e.Line, "%s: %s", a, text)
		}
	}
	s.fips(found, e)
}

// wrongArg says what is wrong with the value of an argument, or "".
func (s *system) wrongArg(e boot.Entry, key, value string) string {
	if wrong := absentArgs[key]; wrong != nil && s.more(lookup) {
		return wrong(s, value)
	}
	return cmp.Or(s.partOf(key, value), s.early(e, key, value))
}

// rootIsHere tells whether an entry boots the system of this image, and not a live medium or a network.
func (s *system) rootIsHere(e boot.Entry) bool {
	for _, a := range e.Args() {
		value, ok := strings.CutPrefix(a, "root=")
		if ok && slices.ContainsFunc([]string{"live:", "nfs", "dhcp", "iscsi:", "nbd:", "tmpfs", "/dev/nfs", "/dev/ram", "ramfs"},
			func(o string) bool { return strings.HasPrefix(value, o) }) {
			return false
		}
	}
	return true
}

func (s *system) wrongInit(value string) string {
	if !path.IsAbs(value) {
		return "this is not an absolute path"
	}
	switch text := s.unstartable(value); text {
	case "":
		return ""
	case notThere:
		return "there is no such program: the kernel, or the initramfs, would have nothing to start"
	default:
		return "this program " + text + ": the kernel, or the initramfs, would have nothing to start"
	}
}

func (s *system) wrongPath(value string) string {
	if !s.Root.Exists(value) {
		return "there is no such path"
	}
	return ""
}

func (s *system) wrongUnit(value string) string {
	if s.hasSystemd() && !s.unit(value) {
		return "there is no such unit"
	}
	return ""
}

// sameDriver are types that the driver of another mounts (ext4(5)).
var sameDriver = map[string][]string{"ext2": {"ext3", "ext4"}, "ext3": {"ext4"}}

func (s *system) wrongType(mountPoint, value string) string {
	is := s.mountOf(mountPoint).Volume.Content.Type
	for _, t := range strings.Split(value, ",") {
		if t == "auto" || t == is || slices.Contains(sameDriver[is], t) {
			return ""
		}
	}
	if is == "" {
		return ""
	}
	return fmt.Sprintf("the filesystem of %s is %s", mountPoint, is)
}

// wrongFlags knows the options that one filesystem alone has; whether the subvolume is right is checked elsewhere.
func (s *system) wrongFlags(mountPoint, value string) string {
	is := s.mountOf(mountPoint).Volume.Content.Type
	for _, o := range strings.Split(value, ",") {
		name, _, _ := strings.Cut(o, "=")
		if is != "" && is != "btrfs" && slices.Contains([]string{"subvol", "subvolid", "degraded"}, name) {
			return fmt.Sprintf("%s is an option of btrfs, and the filesystem of %s is %s", name, mountPoint, is)
		}
	}
	return ""
}

func (s *system) holding(kind string) (list []disk.Volume) {
	for _, v := range s.Volumes {
		if v.Content.Type == kind {
			list = append(list, v)
		}
	}
	return list
}

func (s *system) wrongLUKS(value string) string {
	id, _, _ := strings.Cut(value, "=")
	id = strings.ToLower(strings.TrimPrefix(id, "luks-"))
	for _, v := range s.holding("crypto_LUKS") {
		if strings.HasPrefix(strings.ToLower(v.Content.UUID), id) {
			return ""
		}
	}
	return "no partition of the image is encrypted under this identifier; the boot would wait for it"
}

// wrongLVM looks for the names in the text that LVM keeps at the beginning of a physical volume (lvm2, doc/).
func (s *system) wrongLVM(value string) string {
	group, volume, _ := strings.Cut(value, "/")
	pvs := s.holding("LVM2_member")
	if len(pvs) == 0 && len(s.holding("crypto_LUKS")) == 0 {
		return "no partition of the image is a physical volume of LVM; the boot would wait for it"
	}
	for _, v := range pvs {
		text := make([]byte, min(mebibyte, v.Size))
		n, _ := s.Disk.ReadAt(text, v.Start)
		if bytes.Contains(text[:n], []byte(group+" {")) && (volume == "" || bytes.Contains(text[:n], []byte(volume+" {"))) {
			return ""
		}
	}
	if len(pvs) == 0 { // they may lie in what is encrypted
		return ""
	}
	return "no physical volume of the image has this name; the boot would wait for it"
}

const mebibyte = 1 << 20

func (s *system) wrongRAID(value string) string {
	plain := strings.NewReplacer(":", "", "-", "")
	for _, v := range s.holding("linux_raid_member") {
		if strings.EqualFold(plain.Replace(v.Content.UUID), plain.Replace(value)) {
			return ""
		}
	}
	return "no partition of the image is a member of this array; the boot would wait for it"
}

// wrongBoot: a device is that of /boot, for dracut; any other word is a script of initramfs-tools.
func (s *system) wrongBoot(value string) string {
	if strings.HasPrefix(value, "/dev/") || strings.Contains(value, "=") {
		v, err := s.named(value)
		switch {
		case err != nil:
			return err.Error()
		case v.Number != s.mountOf("/boot").Volume.Number:
			return fmt.Sprintf("this is partition %d, but the files of /boot lie on partition %d", v.Number, s.mountOf("/boot").Volume.Number)
		}
		return ""
	}
	const scripts = "/initramfs-tools/scripts/"
	if !s.Root.IsDir("/usr/share"+scripts) || s.Root.Exists("/usr/share"+scripts+value) || s.Root.Exists("/etc"+scripts+value) {
		return ""
	}
	return "initramfs-tools has no script of this name"
}

// fips checks what dracut's module fips needs to compare the kernel with its checksum: where /boot is.
func (s *system) fips(found *list, e boot.Entry) {
	if !slices.Contains(e.Args(), "fips=1") || !s.Root.IsDir("/usr/lib/dracut") {
		return
	}
	apart := s.mountOf("/boot").Path == "/boot"
	switch {
	case apart && !e.Args().Has("boot"):
		found.at(e.File, e.Line, "fips=1 needs boot=, since /boot is a filesystem of its own")
		found.hint("add boot=UUID=%s", s.mountOf("/boot").Volume.Content.UUID)
	case !apart && e.Args().Has("boot"):
		found.at(e.File, e.Line, "fips=1 with boot=: /boot is no filesystem of its own")
		found.hint("remove boot=")
	}
}

// hasSystemd tells whether the image starts systemd.
func (s *system) hasSystemd() bool {
	return s.Root.Exists("/usr/lib/systemd/systemd") || s.Root.Exists("/lib/systemd/systemd")
}
