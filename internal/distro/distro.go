// Package distro holds what differs between distributions, one value and one file each. No other
// package compares distribution names: what can be probed in an image (package manager, boot
// scheme, initramfs builder) is probed there and is not in these values.
package distro

import (
	"slices"
	"strings"
)

// Distro is one distribution, or one release of it.
type Distro struct {
	Name     string   // as people call it
	ID       string   // ID of os-release(5)
	Versions []string // accepted VERSION_ID values; empty means all
	Like     []string // ID_LIKE values by which an unknown derivative is recognised
	Tested   string   // how this project tests it, for the table of supported distributions

	// GRUB is how the boot loader is set up from scratch; nil where that is not known.
	GRUB *GRUB
	// Filesystems are the features of new filesystems, in the words of their mkfs.
	Filesystems Features

	// LiveSELinux are the packages that a live system with SELinux needs in a version, for distributions
	// that have added it to theirs.
	LiveSELinux []Version

	// GenericKernel is what the function of that name returns.
	GenericKernel string

	// Unknown is true for an image whose distribution is none of ours but whose mechanisms are.
	Unknown bool
}

// Version is the least version and release of a package.
type Version struct{ Package, Least string }

// Features are the features that the tools of a distribution make and check. disk.Feature says which of
// them a kernel or a GRUB is too old for.
type Features struct {
	Ext4, XFS, Btrfs []string
}

// Of returns the features of a kind of filesystem.
func (f Features) Of(kind string) []string {
	return map[string][]string{"ext4": f.Ext4, "xfs": f.XFS, "btrfs": f.Btrfs}[kind]
}

// Features that kernels since 5.10 and GRUB since 2.06 read.
var (
	ext4Features = []string{
		"sparse_super", "large_file", "filetype", "resize_inode", "dir_index", "ext_attr", "has_journal", "extent", "huge_file", "flex_bg",
		"metadata_csum", "64bit", "dir_nlink", "extra_isize",
	}
	xfsFeatures   = []string{"bigtime", "crc", "finobt", "inobtcount", "reflink", "rmapbt", "sparse"}
	btrfsFeatures = []string{"extref", "skinny-metadata", "no-holes", "free-space-tree"}
	// oldest are what the oldest of the supported distributions reads.
	oldest = Features{Ext4: ext4Features, XFS: []string{"crc", "finobt", "reflink", "sparse"}, Btrfs: []string{"extref", "skinny-metadata", "no-holes"}}
	common = Features{Ext4: ext4Features, XFS: xfsFeatures, Btrfs: btrfsFeatures}
)

// All lists the supported distributions.
func All() []*Distro {
	return []*Distro{azureLinux3, mariner2, debian13, debian12, debian11, debianSid, ubuntu, fedora}
}

// Match returns the distribution that an image's os-release names. Where it is none of ours the
// answer has Unknown set.
func Match(osRelease map[string]string) *Distro {
	id, version := osRelease["ID"], osRelease["VERSION_ID"]
	for _, d := range All() {
		if d.ID == id && (len(d.Versions) == 0 || slices.Contains(d.Versions, version)) {
			return d
		}
	}
	name := osRelease["PRETTY_NAME"]
	if name == "" {
		name = strings.TrimSpace(id + " " + version)
	}
	return &Distro{Name: name, ID: id, Versions: []string{version}, Unknown: true, Filesystems: oldest}
}

// GenericKernel is the package with the kernel for any machine, where a distribution, in whatever version, does not
// name it as its family does.
func GenericKernel(osRelease map[string]string) string {
	for _, d := range All() {
		if d.ID == osRelease["ID"] && d.GenericKernel != "" {
			return d.GenericKernel
		}
	}
	return ""
}

// ParseOSRelease reads the variable assignments of an os-release(5) file. Quotes and the backslash
// escapes that the format allows are removed.
func ParseOSRelease(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && key != "" && !strings.HasPrefix(key, "#") {
			vars[key] = unquote(value)
		}
	}
	return vars
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		quote := v[0]
		v = v[1 : len(v)-1]
		if quote == '\'' {
			return v
		}
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String()
}
