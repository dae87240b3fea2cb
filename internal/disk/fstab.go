package disk

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Fstab is an fstab(5), line by line. A line that is not changed is written as it was read.
type Fstab []Line

// Line is one line of an fstab.
type Line struct {
	Text  string // with its newline
	Entry *Entry // nil for comments, empty lines and what mount would not understand
}

// Entry is what a line of an fstab says. Its texts are free of escapes and quotes.
type Entry struct {
	Source  string   // UUID=..., /dev/..., ...
	Target  string   // mount point, or none or swap
	Type    string   // filesystem type
	Options []string // comma list, taken apart
	Dump    int
	Pass    int // order of fsck
}

// Use is what an opened image does with an fstab entry.
type Use int

// Uses of an fstab entry.
const (
	Mount  Use = iota // a filesystem of the image's own disk
	Ignore            // pseudo, network, overlay, bind, a file: nothing a customizer writes to
	Data              // a disk the image gets where it runs
	Swap              // swap, on whichever disk
)

// ParseFstab reads an fstab. Any text is one.
func ParseFstab(text string) Fstab {
	var f Fstab
	for line := range strings.Lines(text) {
		f = append(f, Line{line, parseEntry(line)})
	}
	return f
}

// Entries lists what the lines say.
func (f Fstab) Entries() []Entry {
	var list []Entry
	for _, l := range f {
		if l.Entry != nil {
			list = append(list, *l.Entry)
		}
	}
	return list
}

// String is the text of the fstab.
func (f Fstab) String() string {
	var b strings.Builder
	for _, l := range f {
		if was := parseEntry(l.Text); l.Entry != nil && (was == nil || was.String() != l.Entry.String()) {
			l.Text = l.Entry.String() + "\n"
		}
		b.WriteString(l.Text)
	}
	return b.String()
}

func parseEntry(line string) *Entry {
	f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(f) < 3 || strings.HasPrefix(f[0], "#") {
		return nil
	}
	e := &Entry{Source: unquoteTag(unescape(f[0])), Target: unescape(f[1]), Type: unescape(f[2])}
	if strings.HasPrefix(e.Target, "/") {
		e.Target = path.Clean(e.Target)
	}
	if len(f) > 3 && f[3] != "defaults" {
		e.Options = strings.Split(unescape(f[3]), ",")
	}
	if len(f) > 4 {
		e.Dump, _ = strconv.Atoi(f[4]) // as mount does, anything else is 0
	}
	if len(f) > 5 {
		e.Pass, _ = strconv.Atoi(f[5])
	}
	return e
}

// String is the entry as a line of an fstab, without newline.
func (e Entry) String() string {
	options := "defaults"
	if len(e.Options) > 0 {
		options = strings.Join(e.Options, ",")
	}
	return fmt.Sprintf("%s %s %s %s %d %d", escape(quoteTag(e.Source)), escape(e.Target), escape(e.Type), escape(options), e.Dump, e.Pass)
}

// foreign are filesystem types that lie on no partition of the image's own disk.
var foreign = []string{
	"proc", "sysfs", "tmpfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "efivarfs",
	"bpf", "configfs", "hugetlbfs", "mqueue", "ramfs", "rpc_pipefs", "binfmt_misc", "overlay", "none", "autofs",
	"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "glusterfs", "iso9660", "udf",
}

// removable are the names of drives.
var removable = []string{"/dev/fd", "/dev/sr", "/dev/cdrom", "/dev/zram"}

// Use classifies the entry by what it says; Fstab.Claims by what the image has, too.
func (e Entry) Use() Use {
	begins := func(prefix string) bool { return strings.HasPrefix(e.Source, prefix) }
	switch {
	case e.Type == "swap" && e.isDevice() && !slices.ContainsFunc(removable, begins):
		return Swap
	case e.Type == "swap", !strings.HasPrefix(e.Target, "/"), slices.Contains(foreign, e.Type), strings.HasPrefix(e.Type, "fuse"),
		e.has("bind"), e.has("rbind"), e.has("loop"), e.has("_netdev"), slices.ContainsFunc(removable, begins), !e.isDevice(),
		e.has("noauto") && !e.has("x-systemd.automount") && !slices.Contains(loaders, e.Target):
		return Ignore
	}
	if disk, _, ok := partition(e.Source); ok && otherDisk(disk) {
		return Data
	}
	return Mount
}

// isDevice tells whether the source is the name of a device, rightly written or not; anything else, such as a
// word, a server's folder or a file, can be no partition.
func (e Entry) isDevice() bool {
	name := plainName(e.Source)
	tag, _, _ := strings.Cut(name, "=")
	return strings.HasPrefix(name, "/dev/") || tags[tag] != nil || tag == "ID"
}

func (e Entry) has(option string) bool { return slices.Contains(e.Options, option) }

// Optional tells whether a system boots without what the entry mounts.
func (e Entry) Optional() bool { return e.has("nofail") || e.has("noauto") }

// unquoteTag removes the quotes that libmount allows around a tag's value.
func unquoteTag(s string) string {
	key, value, ok := strings.Cut(s, "=")
	if ok && len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		return key + "=" + value[1:len(value)-1]
	}
	return s
}

// quoteTag puts quotes around a value that would lose its own.
func quoteTag(s string) string {
	if unquoteTag(s) == s {
		return s
	}
	key, value, _ := strings.Cut(s, "=")
	return key + `="` + value + `"`
}

// escape writes what separates fields as the octal escapes of fstab(5), such as \040 for a space.
func escape(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, "\r", `\015`, `\`, `\134`, "#", `\043`).Replace(s)
}

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
