// Package initramfs has the builders of an image make initramfs images that fit any machine, fast.
//
// A builder fits what it makes to the machine that it runs on, if it is set to: here that is the machine on
// which the image is customized, and what the image boots on lacks its drivers. And a builder may end well and
// have made nothing. So whatever runs builders does so in a Guard, which keeps them from looking around, and
// which compares what images could drive before and after, by what is in them.
//
// A builder spends most of its time in a slow, single-threaded compressor, once a kernel and often several
// times a package transaction. So it runs with compression off where that is safe, and what is new at the end
// is compressed once, in parallel, in the format that the image asks for.
package initramfs

import (
	"bytes"
	"path"
	"regexp"

	"imagecustomizer/internal/machine"
)

// confName is what our temporary configuration files are called; the last in the alphabet wins.
const confName = "zz-imagecustomizer"

// builder is one program that makes initramfs images.
type builder struct {
	program  string
	conf     string // our temporary configuration file
	generic  string // setting there that fits an image to no machine; empty where files are edited only
	plain    func(m *machine.Machine) string
	fast     func(format string) string // of what compresses well enough, where plain takes too much space
	settings []string                   // files and folders with its configuration, the strongest last
	setting  *regexp.Regexp             // of the format
	machine  []edit                     // of settings that fit an image to the machine, or make none
	parts    []string                   // folders with what it takes into an image
	member   string                     // under which our file ends up inside an image; empty where it does not
}

// edit replaces a setting in the image's own files.
type edit struct {
	find *regexp.Regexp
	with string
}

var builders = []builder{
	{
		program: "dracut", conf: "/etc/dracut.conf.d/" + confName + ".conf",
		generic:  "hostonly=\"no\"\n",
		plain:    func(*machine.Machine) string { return "compress=\"cat\"\n" },
		fast:     func(format string) string { return "compress=\"" + fastPrograms[format] + "\"\n" },
		settings: []string{"/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf", "/etc/dracut.conf.d"},
		setting:  regexp.MustCompile(`(?m)^[ \t]*compress=["']?([a-z0-9]+)`),
		machine:  []edit{{regexp.MustCompile(`(?m)^([ \t]*)hostonly=["']?(yes|1|true)\b["']?`), `${1}hostonly="no"`}},
		parts:    []string{"/usr/lib/dracut/modules.d"},
	},
	{
		program: "update-initramfs", conf: "/etc/initramfs-tools/conf.d/" + confName,
		plain: fastestSetting,
		fast: func(format string) string {
			return "COMPRESS=" + format + "\nCOMPRESSLEVEL=" + fastLevels[format] + "\n"
		},
		settings: []string{
			"/usr/share/initramfs-tools/conf.d", "/etc/initramfs-tools/update-initramfs.conf",
			"/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d",
		},
		setting: regexp.MustCompile(`(?m)^[ \t]*COMPRESS=["']?([a-z0-9]+)`),
		machine: []edit{
			{regexp.MustCompile(`(?m)^([ \t]*(?:export[ \t]+)?)MODULES=["']?dep\b["']?`), `${1}MODULES=most`},
			{regexp.MustCompile(`(?m)^([ \t]*)update_initramfs=["']?no\b["']?`), `${1}update_initramfs=yes`},
		},
		parts: []string{
			"/usr/share/initramfs-tools/hooks", "/etc/initramfs-tools/hooks", "/usr/share/initramfs-tools/modules.d",
			"/usr/share/initramfs-tools/scripts", "/etc/initramfs-tools/scripts",
		},
		member: "conf/conf.d/" + confName,
	},
}

// fastPrograms and fastLevels compress nearly as well as the slow ones.
var (
	fastPrograms = map[string]string{
		"gzip": "gzip -6", "zstd": "zstd -3 -T0", "xz": "xz --check=crc32 --lzma2=dict=1MiB -T0", "lz4": "lz4 -l -1",
	}
	fastLevels = map[string]string{"gzip": "6", "zstd": "3", "xz": "1", "lz4": "1"}
)

// fastestSetting is for initramfs-tools, which cannot leave compression out. Before Debian 12 it knows no levels,
// and then zstd has its slowest.
func fastestSetting(m *machine.Machine) string {
	if text, err := m.Root.ReadFile("/usr/sbin/mkinitramfs"); err == nil && !bytes.Contains(text, []byte("COMPRESSLEVEL")) {
		return "COMPRESS=gzip\n"
	}
	for _, p := range []string{"lz4", "zstd"} {
		if m.Has(p) {
			return "COMPRESS=" + p + "\nCOMPRESSLEVEL=1\n"
		}
	}
	return "COMPRESS=gzip\nCOMPRESSLEVEL=1\n"
}

// files lists the image's files with the builder's configuration, the strongest last.
func (b builder) files(m *machine.Machine) (files []string) {
	for _, s := range b.settings {
		entries, err := m.Root.ReadDir(s)
		if err != nil {
			files = append(files, s)
			continue
		}
		for _, e := range entries {
			files = append(files, path.Join(s, e.Name()))
		}
	}
	return files
}

// format is the format that the image's configuration names, or "".
func (b builder) format(m *machine.Machine) (format string) {
	for _, f := range b.files(m) {
		text, err := m.Root.ReadFile(f)
		if err != nil {
			continue
		}
		for _, m := range b.setting.FindAllStringSubmatch(string(text), -1) {
			format = m[1]
		}
	}
	return programFormats[format]
}
