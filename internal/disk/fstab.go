package disk

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Entry is one line of an fstab(5) that names something to mount.
type Entry struct {
	Source  string   // UUID=..., /dev/..., as written, unescaped
	Target  string   // mount point
	Type    string   // filesystem type
	Options []string // comma list, taken apart
}

// Use is what an opened image does with an fstab entry.
type Use int

// Uses of an fstab entry.
const (
	Mount  Use = iota // a filesystem of the image's own disk
	Ignore            // swap, pseudo, network, overlay, bind: nothing a customizer writes to
	Data              // a disk the image gets where it runs
)

// pseudo are filesystem types without a device of the image behind them.
var pseudo = []string{
	"proc", "sysfs", "tmpfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "efivarfs",
	"bpf", "configfs", "hugetlbfs", "mqueue", "ramfs", "rpc_pipefs", "binfmt_misc", "swap", "overlay", "none", "autofs",
	"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "glusterfs", "iso9660", "udf",
}

// dataDisks begin the sources of disks that a cloud attaches.
var dataDisks = []string{"/dev/disk/azure/", "/dev/disk/cloud/azure_", "/dev/fd", "/dev/sr", "/dev/cdrom"}

// Use classifies the entry.
func (e Entry) Use() Use {
	if slices.Contains(pseudo, e.Type) || !strings.HasPrefix(e.Target, "/") || strings.HasPrefix(e.Type, "fuse") ||
		slices.Contains(e.Options, "bind") || slices.Contains(e.Options, "rbind") {
		return Ignore
	}
	for _, d := range dataDisks {
		if strings.HasPrefix(e.Source, d) {
			return Data
		}
	}
	return Mount
}

// Option returns the value of a KEY=VALUE option.
func (e Entry) Option(key string) string {
	for _, o := range e.Options {
		if v, ok := strings.CutPrefix(o, key+"="); ok {
			return v
		}
	}
	return ""
}

// ParseFstab reads the entries of an fstab(5). Lines that are none are left out.
func ParseFstab(text string) []Entry {
	var list []Entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") {
			continue
		}
		e := Entry{Source: unescape(unquoteTag(f[0])), Target: path.Clean(unescape(f[1])), Type: f[2]}
		if f[1] == "none" || f[1] == "swap" {
			e.Target = f[1]
		}
		if len(f) > 3 {
			e.Options = strings.Split(unescape(f[3]), ",")
		}
		list = append(list, e)
	}
	return list
}

// unquoteTag removes the quotes that libmount allows around a tag's value.
func unquoteTag(s string) string {
	key, value, ok := strings.Cut(s, "=")
	if ok && len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return key + "=" + value[1:len(value)-1]
	}
	return s
}

// unescape replaces the octal escapes of fstab(5), such as \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Volume is a partition together with what it holds.
type Volume struct {
	Partition
	Content
}

// Find returns the volume that an fstab source names, by UUID, PARTUUID, LABEL, PARTLABEL, a
// /dev/disk/by- link, or a device path such as /dev/sda2.
func Find(volumes []Volume, source string) (*Volume, error) {
	match := matcher(source)
	if match == nil {
		return nil, fmt.Errorf("fstab names %s, which says nothing about this disk", source)
	}
	for i := range volumes {
		if match(volumes[i]) {
			return &volumes[i], nil
		}
	}
	return nil, fmt.Errorf("fstab names %s, but no partition of the disk is that", source)
}

func matcher(source string) func(Volume) bool {
	if rest, ok := strings.CutPrefix(source, "/dev/disk/by-"); ok {
		kind, value, _ := strings.Cut(rest, "/")
		source = strings.ToUpper(kind) + "=" + value
	}
	key, value, ok := strings.Cut(source, "=")
	switch {
	case !ok && strings.HasPrefix(source, "/dev/"):
		number := partitionNumber(source)
		return func(v Volume) bool { return v.Number == number }
	case value == "":
		return nil
	}
	switch key {
	case "UUID":
		return func(v Volume) bool { return strings.EqualFold(v.Content.UUID, value) }
	case "PARTUUID":
		return func(v Volume) bool { return strings.EqualFold(v.Partition.UUID, value) }
	case "LABEL":
		return func(v Volume) bool { return v.Label == value }
	case "PARTLABEL":
		return func(v Volume) bool { return v.Name == value }
	}
	return nil
}

// partitionNumber is the 2 of /dev/sda2, /dev/vda2, /dev/nvme0n1p2 and /dev/mmcblk0p2.
func partitionNumber(dev string) int {
	digits := dev[len(strings.TrimRight(dev, "0123456789")):]
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}
