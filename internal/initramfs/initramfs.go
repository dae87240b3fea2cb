// Package initramfs makes rebuilding initramfs images fast. A builder spends most of its time in a
// slow, single-threaded compressor, once a kernel and often several times a package transaction. So
// builders run with compression off, and what is new at the end is compressed once, in parallel, in
// the format that the image asks for.
package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// confName is what our temporary configuration files are called; the last in the alphabet wins.
const confName = "zz-imagecustomizer"

// builder is one program that makes initramfs images.
type builder struct {
	program  string
	conf     string // our temporary configuration file
	text     func(m *machine.Machine) string
	settings []string // files and folders that say how to compress, the strongest last
	setting  *regexp.Regexp
	member   string // under which our file ends up inside an image; empty where it does not
}

var builders = []builder{
	{
		program: "dracut", conf: "/etc/dracut.conf.d/" + confName + ".conf",
		text:     func(*machine.Machine) string { return "compress=\"cat\"\n" },
		settings: []string{"/usr/lib/dracut/dracut.conf.d", "/etc/dracut.conf", "/etc/dracut.conf.d"},
		setting:  regexp.MustCompile(`(?m)^[ \t]*compress=["']?([a-z0-9]+)`),
	},
	{
		program: "update-initramfs", conf: "/etc/initramfs-tools/conf.d/" + confName,
		text:     fastestSetting,
		settings: []string{"/usr/share/initramfs-tools/conf.d", "/etc/initramfs-tools/initramfs.conf", "/etc/initramfs-tools/conf.d"},
		setting:  regexp.MustCompile(`(?m)^[ \t]*COMPRESS=["']?([a-z0-9]+)`),
		member:   "conf/conf.d/" + confName,
	},
}

// fastestSetting is for initramfs-tools, which cannot leave compression out.
func fastestSetting(m *machine.Machine) string {
	for _, p := range []string{"lz4", "zstd"} {
		if m.Has(p) {
			return "COMPRESS=" + p + "\nCOMPRESSLEVEL=1\n"
		}
	}
	return "COMPRESS=gzip\nCOMPRESSLEVEL=1\n"
}

// Relaxed is an image whose builders do not compress.
type Relaxed struct {
	m      *machine.Machine
	active []builder
	before map[string]stamp  // of each image in /boot
	wanted map[string]string // format by builder
	used   string            // format of an image that was there
}

// stamp tells whether an image was made anew.
type stamp struct {
	size  int64
	mtime time.Time
}

// Relax makes the image's builders run without compression until Finish or Drop.
func Relax(m *machine.Machine) (*Relaxed, error) {
	r := &Relaxed{m: m, wanted: map[string]string{}}
	r.before = r.images()
	for name := range r.before {
		if f, err := formatOf(m.Root, name); err == nil {
			r.used = f
		}
	}
	if !r.roomy() {
		m.Log.Debug("initramfs images are compressed as they are built: /boot has no room for plain ones")
		return r, nil
	}
	for _, b := range builders {
		if !m.Has(b.program) || !m.Root.IsDir(path.Dir(b.conf)) {
			continue
		}
		r.wanted[b.program] = r.setting(b)
		if err := m.Root.WriteFile(b.conf, []byte(b.text(m)), 0o644); err != nil {
			return nil, errors.Join(err, r.Drop())
		}
		r.active = append(r.active, b)
	}
	return r, nil
}

// plainFactor is how much larger an image can be before it is compressed.
const plainFactor = 5

// roomy tells whether /boot can hold every image, and that of one more kernel, without compression.
func (r *Relaxed) roomy() bool {
	var largest int64
	for _, s := range r.before {
		largest = max(largest, s.size)
	}
	_, free, err := r.m.Space("/boot")
	return err != nil || free > uint64(largest)*plainFactor*uint64(len(r.before)+1)
}

var imageName = regexp.MustCompile(`^(initramfs-.+\.img|initrd\.img-.+|initrd-.+)$`)

// images lists the initramfs images in /boot. Backups that builders keep are no images of their own.
func (r *Relaxed) images() map[string]stamp {
	found := map[string]stamp{}
	entries, _ := r.m.Root.ReadDir("/boot")
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && imageName.MatchString(e.Name()) {
			found["/boot/"+e.Name()] = stamp{fi.Size(), fi.ModTime()}
		}
	}
	return found
}

// setting is the format that the image's configuration names, or "".
func (r *Relaxed) setting(b builder) (format string) {
	for _, s := range b.settings {
		files := []string{s}
		if entries, err := r.m.Root.ReadDir(s); err == nil {
			files = nil
			for _, e := range entries {
				files = append(files, path.Join(s, e.Name()))
			}
		}
		for _, f := range files {
			text, err := r.m.Root.ReadFile(f)
			if err != nil {
				continue
			}
			for _, m := range b.setting.FindAllStringSubmatch(string(text), -1) {
				format = m[1]
			}
		}
	}
	return programFormats[format]
}

// Drop gives the builders their own configuration back.
func (r *Relaxed) Drop() error {
	var errs []error
	for _, b := range r.active {
		errs = append(errs, r.m.Root.Remove(b.conf))
	}
	r.active = nil
	return errors.Join(errs...)
}

// Finish does what Drop does, and compresses every image that was made since Relax.
func (r *Relaxed) Finish(ctx context.Context) error {
	if len(r.active) == 0 {
		return nil
	}
	target, members := r.target()
	if err := r.Drop(); err != nil {
		return err
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for name, now := range r.images() {
		if r.before[name] == now {
			continue
		}
		wg.Go(func() {
			if err := recompress(ctx, r.m, name, target, members); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("compress %s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// target is the format for new images, and the files of ours to leave out of them.
func (r *Relaxed) target() (format string, members []string) {
	format = r.used
	for _, b := range r.active {
		if w := r.wanted[b.program]; w != "" {
			format = w
		}
		if b.member != "" {
			members = append(members, b.member)
		}
	}
	if format == "" || format == plain {
		format = "gzip"
		if r.wanted["dracut"] == plain {
			format = plain
		}
	}
	return format, members
}

// recompress rewrites one image in /boot.
func recompress(ctx context.Context, m *machine.Machine, name, target string, leaveOut []string) error {
	image, err := m.Root.Open(name, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	return recompressFile(ctx, m, image, target, leaveOut)
}

// recompressFile rewrites one image: early segments as they are, then the rest in the target format.
// The stages run side by side, so that no archive is ever held in memory; the result is gathered in a
// file of the scratch folder.
func recompressFile(ctx context.Context, m *machine.Machine, image *os.File, target string, leaveOut []string) error {
	scratch, err := m.Scratch()
	if err != nil {
		return err
	}
	packed, err := os.CreateTemp(scratch, "initramfs-")
	if err != nil {
		return err
	}
	defer packed.Close()
	if err := os.Remove(packed.Name()); err != nil {
		return err
	}
	start, format, err := mainFormat(image)
	if err != nil {
		return err
	}
	end, err := image.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	main := io.NewSectionReader(image, start, end-start)
	unpacked := stage(main, func(dst io.Writer, src io.Reader) error { return decompress(ctx, m, format, dst, src) })
	defer unpacked.Close()
	kept := stage(unpacked, func(dst io.Writer, src io.Reader) error { return copyWithout(dst, src, leaveOut) })
	defer kept.Close()
	if err := compress(ctx, m, target, packed, kept); err != nil {
		return err
	}
	return replaceTail(image, start, packed)
}

// stage runs f in the background and returns what it writes; its error is what reading ends with.
// Closing ends f early.
func stage(src io.Reader, f func(dst io.Writer, src io.Reader) error) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(f(w, src)) }()
	return r
}

// replaceTail puts the content of another file behind the first bytes of a file.
func replaceTail(f *os.File, at int64, tail *os.File) error {
	if _, err := tail.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(f, tail)
	return err
}

// wanted is the format that the image's builders are set to, or that its own images have.
func wanted(m *machine.Machine) string {
	r := &Relaxed{m: m, wanted: map[string]string{}}
	for name := range r.images() {
		if f, err := formatOf(m.Root, name); err == nil {
			r.used = f
		}
	}
	for _, b := range builders {
		if m.Has(b.program) {
			r.wanted[b.program] = r.setting(b)
			r.active = append(r.active, b)
		}
	}
	target, _ := r.target()
	return target
}

// programFormats maps what configurations name to formats.
var programFormats = map[string]string{
	"gzip": "gzip", "pigz": "gzip", "zstd": "zstd", "xz": "xz", "lz4": "lz4", "lzma": "lzma", "bzip2": "bzip2",
	"lbzip2": "bzip2", "lzop": "lzop", "cat": plain,
}

// plain is the format of an image that is not compressed.
const plain = "cat"

// formatOf tells the format of the image of that name.
func formatOf(root *rootfs.Root, name string) (string, error) {
	f, err := root.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, format, err := mainFormat(f)
	return format, err
}

// mainFormat tells where the main archive of an image begins, and its format.
func mainFormat(image *os.File) (start int64, format string, err error) {
	fi, err := image.Stat()
	if err != nil {
		return 0, "", err
	}
	start = mainSegment(image, fi.Size())
	head := make([]byte, 8)
	n, err := image.ReadAt(head, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	format, err = detect(head[:n])
	return start, format, err
}

// detect tells a format by its first bytes, as the kernel does (lib/decompress.c).
func detect(data []byte) (string, error) {
	for _, f := range []struct{ magic, name string }{
		{"\x1f\x8b", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\xfd7zXZ", "xz"},
		{"\x02\x21\x4c\x18", "lz4"},
		{"\x5d\x00\x00", "lzma"},
		{"BZh", "bzip2"},
		{"\x89LZO", "lzop"},
		{"070701", plain},
		{"070702", plain},
	} {
		if strings.HasPrefix(string(data), f.magic) {
			return f.name, nil
		}
	}
	return "", errors.New("this is no initramfs that the kernel could read")
}
