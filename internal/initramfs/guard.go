package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"imagecustomizer/internal/machine"
)

// Guard is how programs that may build initramfs images are run.
type Guard struct {
	Fast bool // compress at the end only; for images that nothing but a boot loader reads
	All  bool // the image of every kernel must be made anew
}

// Run runs f under the guard. Builders fit no image to this machine meanwhile. It fails if an image, then, can
// drive less than it could before.
func (g Guard) Run(ctx context.Context, m *machine.Machine, f func() error) error {
	r := &run{Guard: g, m: m, files: settings{m: m}, wanted: map[string]string{}}
	r.Fast = g.Fast && m.Facts.Boot.Config != "" // otherwise the loader's own copy is made from what a builder leaves
	r.before = look(ctx, m)
	r.programs = r.builders()
	if err := r.prepare(); err != nil {
		return errors.Join(err, r.files.restore())
	}
	if err := f(); err != nil {
		return errors.Join(err, r.files.restore())
	}
	target, members := r.target()
	if err := errors.Join(r.files.restore(), r.removeCopies()); err != nil {
		return err
	}
	if err := r.compress(ctx, target, members); err != nil {
		return err
	}
	return r.compare(ctx)
}

// copies are where other builders have copies of the configuration.
var copies = []string{"/var/lib/kdump/initramfs-tools/conf.d"}

// removeCopies removes copies of our temporary configuration.
func (r *run) removeCopies() error {
	var errs []error
	for _, dir := range copies {
		if name := path.Join(dir, confName); r.m.Root.Exists(name) {
			errs = append(errs, r.m.Root.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// run is one use of a guard.
type run struct {
	Guard
	m        *machine.Machine
	files    settings
	before   map[string]machine.Initramfs
	programs string            // the builders, and what they take into an image, before
	wanted   map[string]string // format by builder
	packed   bool              // builders compress themselves
}

// builders identifies the image's builders.
func (r *run) builders() string {
	var b strings.Builder
	for _, x := range builders {
		for _, dir := range []string{"/usr/sbin/", "/usr/bin/"} {
			for _, p := range []string{x.program, "mkinitramfs"} {
				if fi, err := r.m.Root.Stat(dir + p); err == nil {
					fmt.Fprintln(&b, dir+p, fi.Size(), fi.ModTime().UnixNano())
				}
			}
		}
		for _, part := range x.parts {
			entries, _ := r.m.Root.ReadDir(part)
			for _, e := range entries {
				fmt.Fprintln(&b, part, e.Name())
			}
		}
	}
	return b.String()
}

// prepare writes the configuration that builders have for a time.
func (r *run) prepare() error {
	r.packed = !r.Fast || !r.roomy()
	for _, b := range builders {
		for _, f := range b.files(r.m) {
			if err := r.files.replace(f, b.machine); err != nil {
				return err
			}
		}
		text := b.generic
		if r.Fast && r.m.Has(b.program) {
			r.wanted[b.program] = b.format(r.m)
			text += r.compression(b)
		}
		if text == "" || !r.Fast && !r.m.Has(b.program) { // packages may bring the builder
			continue
		}
		if err := r.files.write(b.conf, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// compression is how a builder is to compress.
func (r *run) compression(b builder) string {
	if !r.packed {
		return b.plain(r.m)
	}
	if format, _ := r.target(); fastPrograms[format] != "" {
		return b.fast(format)
	}
	return ""
}

// roomy tells whether /boot can hold every image without compression, one of them twice, and that of one more
// kernel.
func (r *run) roomy() bool {
	var need, largest int64
	for _, i := range r.before {
		need += max(0, i.Plain-i.Size)
		largest = max(largest, i.Plain)
	}
	need += largest
	if !r.All {
		need += largest
	}
	_, free, err := r.m.Space("/boot")
	return err != nil || int64(free) > need
}

var imageName = regexp.MustCompile(`^(initramfs-(.+)\.img|initrd\.img-(.+)|initrd-(.+))$`)

// images lists the initramfs images in /boot, and those of Debian's crash kernels. Backups that builders keep
// are no images of their own.
func images(m *machine.Machine) map[string]fs.FileInfo {
	found := map[string]fs.FileInfo{}
	for _, dir := range []string{"/boot", "/var/lib/kdump"} {
		entries, _ := m.Root.ReadDir(dir)
		for _, e := range entries {
			if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && imageName.MatchString(e.Name()) {
				found[path.Join(dir, e.Name())] = fi
			}
		}
	}
	return found
}

// Images are the paths of the images in the machine's /boot.
func Images(m *machine.Machine) []string { return slices.Sorted(maps.Keys(images(m))) }

// changed lists the images that were made since the run began.
func (r *run) changed() (names []string) {
	for name, fi := range images(r.m) {
		if old, known := r.before[name]; !known || old.Size != fi.Size() || !old.Time.Equal(fi.ModTime()) {
			names = append(names, name)
		}
	}
	return names
}

// compress compresses every image that was made since the run began, side by side.
func (r *run) compress(ctx context.Context, target string, members []string) error {
	if !r.Fast {
		return nil
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, name := range r.changed() {
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
func (r *run) target() (format string, members []string) {
	for _, i := range r.before {
		format = i.Format
	}
	for _, b := range builders {
		w, active := r.wanted[b.program]
		if w != "" {
			format = w
		}
		if b.member != "" && active {
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

// wanted is the format that the image's builders are set to, or that its own images have.
func wanted(m *machine.Machine) string {
	r := &run{m: m, before: map[string]machine.Initramfs{}, wanted: map[string]string{}}
	for name := range images(m) {
		if f, err := formatOf(m.Root, name); err == nil {
			r.before[name] = machine.Initramfs{Format: f}
		}
	}
	for _, b := range builders {
		if m.Has(b.program) {
			r.wanted[b.program] = b.format(m)
		}
	}
	target, _ := r.target()
	return target
}
