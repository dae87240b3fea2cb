package initramfs

import (
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"path"
	"regexp"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/machine"
)

// look reads what every image in /boot holds, unless it was read before.
func look(ctx context.Context, m *machine.Machine) map[string]machine.Initramfs {
	known := map[string]machine.Initramfs{}
	for name, fi := range images(m) {
		old, read := m.Initramfs[name]
		if !read || old.Size != fi.Size() || !old.Time.Equal(fi.ModTime()) {
			var err error
			if old, err = Read(ctx, m, name); err != nil {
				m.Log.Debug("an initramfs cannot be read", "file", name, "error", err)
			}
			old.Size, old.Time = fi.Size(), fi.ModTime()
		}
		known[name] = old
	}
	m.Initramfs = known
	return maps.Clone(known)
}

// Drivers are those in an image in /boot: path below its folder of modules, by name. read tells whether it could be read.
func Drivers(ctx context.Context, m *machine.Machine, name string) (drivers map[string]string, read bool) {
	drivers = look(ctx, m)[name].Drivers
	return drivers, drivers != nil
}

// module is a kernel module, in an initramfs or below /lib/modules of an image.
var module = regexp.MustCompile(`(?:^|/)lib/modules/[^/]+/(.+/([^/]+)\.ko)(?:\.(?:gz|xz|zst|lzma|bz2))?$`)

// builderMarks are members of an image that tell who made it.
var builderMarks = map[string]string{
	"conf/initramfs.conf": "update-initramfs", "usr/lib/dracut/modules.txt": "dracut", "lib/dracut/modules.txt": "dracut",
	"usr/lib/dracut/build-parameter.txt": "dracut", "lib/dracut/build-parameter.txt": "dracut",
}

// maxPlain bounds what is read of an image without its compression.
const maxPlain = maxUnpacked

// Read reads an image in /boot: what it can drive, and how it is packed.
func Read(ctx context.Context, m *machine.Machine, name string) (i machine.Initramfs, err error) {
	f, err := m.Root.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return i, err
	}
	defer f.Close()
	drivers := map[string]string{}
	note := func(e member) {
		e.name = path.Clean(e.name)
		if found := module.FindStringSubmatch(e.name); found != nil {
			drivers[kmod.Name(found[2])] = found[1]
		}
		i.Builder = cmp.Or(builderMarks[e.name], i.Builder)
	}
	start, format, err := mainFormat(f, note)
	if err != nil {
		return i, err
	}
	i.Format = format
	if i.Plain, err = readMain(ctx, m, f, start, format, note); err != nil {
		return i, err
	}
	i.Plain += start
	i.Drivers = drivers
	return i, nil
}

// readMain reads the main archive of an image.
func readMain(ctx context.Context, m *machine.Machine, f *os.File, start int64, format string, note func(member)) (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	packed := io.NewSectionReader(f, start, fi.Size()-start)
	plain := stage(packed, func(dst io.Writer, src io.Reader) error { return decompress(ctx, m, format, dst, src) })
	defer plain.Close()
	return walk(io.LimitReader(plain, maxPlain), note)
}
