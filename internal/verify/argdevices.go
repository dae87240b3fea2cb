package verify

import (
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/kargs"
)

// partArgs are arguments of which a part names a device that the boot waits for: dracut.cmdline(7), kernel-command-line(7),
// crypttab(5) of initramfs-tools, mkinitcpio's and genkernel's hooks, overlayroot. Each returns the device, or "".
var partArgs = map[string]func(s *system, value string) string{
	"cryptdevice":      func(_ *system, v string) string { return before(v, ":") },
	"cryptopts":        func(_ *system, v string) string { return option(v, "source") },
	"overlayroot":      func(s *system, v string) string { return s.extraMount(option(after(v, ":"), "dev") + ":/overlay") },
	"luks.data":        func(_ *system, v string) string { return after(v, "=") },
	"rd.luks.data":     func(_ *system, v string) string { return after(v, "=") },
	"rd.luks.partuuid": func(_ *system, v string) string { return "PARTUUID=" + strings.TrimPrefix(v, "luks-") },
	"real_root":        whole,
	"real_resume":      whole,
	"crypt_root":       whole,
	"crypt_swap":       whole,
	// WHAT:WHERE[:TYPE[:OPTIONS]], as a line of fstab
	"systemd.mount_extra":    (*system).extraMount,
	"rd.systemd.mount_extra": (*system).extraMount,
	"systemd.swap_extra":     func(s *system, v string) string { return s.extraMount(before(v, ":") + ":none:swap:" + after(v, ":")) },
}

func whole(_ *system, v string) string { return v }

func before(v, sep string) string { head, _, _ := strings.Cut(v, sep); return head }

func after(v, sep string) string { _, tail, _ := strings.Cut(v, sep); return tail }

// option is the value of one of the options in a comma list.
func option(list, name string) string {
	for _, o := range strings.Split(list, ",") {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return value
		}
	}
	return ""
}

// extraMount is the source of a mount that the boot waits for.
func (s *system) extraMount(v string) string {
	f := append(strings.SplitN(v, ":", 4), "", "", "")
	e := disk.Entry{Source: f[0], Target: f[1], Type: f[2], Options: strings.Split(f[3], ",")}
	if !s.more(len(s.fstab)) {
		return ""
	}
	claims := append(s.fstab[:len(s.fstab):len(s.fstab)], disk.Line{Entry: &e}).Claims(s.Volumes)
	if c := claims[len(claims)-1]; c.Use != disk.Mount && c.Use != disk.Swap && (c.Entry.Use() != disk.Mount || c.ByDisk()) || e.Optional() {
		return "" // nothing of the image's own disk
	}
	return e.Source
}

// partOf checks the device that a part of an argument names.
func (s *system) partOf(key, value string) string {
	get := partArgs[key]
	if get == nil {
		return ""
	}
	source := get(s, value)
	if source == "" || madeLater(source) {
		return ""
	}
	if _, err := s.named(source); err != nil {
		return err.Error() + "; the boot would wait for it"
	}
	return ""
}

// madeLater tells whether a name is one of a device that the system makes when it boots.
func madeLater(source string) bool {
	return slices.ContainsFunc([]string{"/dev/mapper/", "/dev/dm-", "/dev/md", "/dev/zram", "/dev/ram", "/dev/loop"},
		func(p string) bool { return strings.HasPrefix(source, p) })
}

// unmappable tells whether a name below /dev/mapper is none that anything in the image could bring about: nothing is
// encrypted, a part of LVM or of an array, or sealed.
func (s *system) unmappable(e boot.Entry, source string) bool {
	name, ok := strings.CutPrefix(source, "/dev/mapper/")
	if !ok || verityNames[source] != "" || strings.HasPrefix(name, "mpath") || strings.HasPrefix(name, "live-") {
		return false
	}
	for _, a := range e.Args() {
		key := kargs.Name(a)
		if strings.HasPrefix(key, "dm_mod.create") || strings.Contains(key, "verity") || key == "roothash" || key == "root" && strings.Contains(a, "=live:") {
			return false
		}
	}
	return !slices.ContainsFunc(s.Volumes, func(v disk.Volume) bool { return slices.Contains(mapped, v.Content.Type) })
}

// mapped are contents of which the system makes further devices.
var mapped = []string{"crypto_LUKS", "LVM2_member", "linux_raid_member", "DM_verity_hash", "isw_raid_member", "ddf_raid_member", "multipath_member"}
