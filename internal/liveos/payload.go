package liveos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
)

// payload is the packed system, which is most of a medium: its root filesystem, or the initramfs that is
// all of it. It lies in a file of its own, or where it belongs in the file of a medium.
type payload struct {
	name     string
	spec     Spec
	file     string
	at, size int64
}

// payload is the one that a medium has. Media share one where they can.
func (mk *Maker) payload(s Spec) *payload {
	name := fmt.Sprintf("root-%s-%d", s.Filesystem.Type, s.Filesystem.Level)
	if s.FullOS {
		name = "initramfs"
	}
	if s.KeepKdump {
		name += "-kdump"
	}
	for _, p := range mk.payloads {
		if p.name == name {
			return p
		}
	}
	p := &payload{name: name, spec: s, file: filepath.Join(mk.dir, name)}
	mk.payloads = append(mk.payloads, p)
	return p
}

// packAll packs the image's tree, as often as there are ways to, one after the other: a packer uses all
// processors.
func (mk *Maker) packAll(ctx context.Context, tree string) error {
	for _, p := range mk.payloads {
		if err := p.pack(ctx, mk.m, tree, mk.Now); err != nil {
			return fmt.Errorf("pack the system: %w", err)
		}
	}
	return nil
}

func (p *payload) pack(ctx context.Context, m *machine.Machine, tree string, now time.Time) error {
	exclude := excluded(m, p.spec.KeepKdump)
	pack := p.packRoot
	if p.spec.FullOS {
		pack = p.packInitramfs
	}
	if err := pack(ctx, m, tree, exclude, now); err != nil {
		return err
	}
	fi, err := os.Stat(p.file)
	if err != nil {
		return err
	}
	p.size = fi.Size() - p.at
	if p.spec.FullOS {
		return nil
	}
	return p.read(func(r *io.SectionReader) error { return checkPacked(r) })
}

// read opens the payload for f.
func (p *payload) read(f func(r *io.SectionReader) error) error {
	file, err := os.Open(p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(io.NewSectionReader(file, p.at, p.size))
}

// packInitramfs packs the whole system as an initramfs, for all kernels.
func (p *payload) packInitramfs(ctx context.Context, m *machine.Machine, tree string, exclude []string, _ time.Time) error {
	m.Log.Warn("a full-os initramfs holds no extended attributes: programs in it have no file capabilities")
	t := initramfs.Tree{Dir: tree, Exclude: exclude}
	if _, err := m.Root.Lstat("/init"); err != nil {
		t.Links = map[string]string{"init": systemd(m)}
	}
	found, err := kernels(m, true)
	if err != nil {
		return err
	}
	format := "zstd"
	for _, k := range found {
		config, _ := m.Root.ReadFile("/boot/config-" + k.Version)
		if !strings.Contains(string(config), "CONFIG_RD_ZSTD=y") {
			format = "gzip"
		}
	}
	out, err := os.OpenFile(p.file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(t.WriteImage(ctx, format, io.NewOffsetWriter(out, p.at)), out.Close())
}

// packers are the host's programs that pack a root filesystem.
var packers = map[string]string{"squashfs": "mksquashfs", "erofs": "mkfs.erofs"}

// packRoot packs the root filesystem.
func (p *payload) packRoot(ctx context.Context, m *machine.Machine, tree string, exclude []string, now time.Time) error {
	f := p.spec.Filesystem
	args := append([]string{
		tree, p.file, "-offset", strconv.FormatInt(p.at, 10), "-noappend", "-no-progress", "-quiet", "-b", "1M",
		"-comp", "zstd", "-Xcompression-level", strconv.Itoa(f.Level), "-xattrs", "-e",
	}, exclude...)
	if f.Type == "erofs" {
		args = []string{"--quiet", "-zlz4hc," + strconv.Itoa(f.Level)}
		for _, e := range exclude {
			args = append(args, "--exclude-path="+e)
		}
		args = append(args, p.file, tree)
	}
	c := hostcmd.New(packers[f.Type], args...).Reading(tree).Writing(p.file)
	c.Env = reproducible(now)
	dropped := 0
	c.OnLine = func(line string) {
		if strings.Contains(line, "Unrecognised xattr prefix") {
			dropped++
		}
	}
	if err := c.Run(ctx); err != nil {
		return err
	}
	if dropped > 0 {
		m.Log.Warn("squashfs cannot hold all extended attributes of the image, such as POSIX ACLs"+remedy(m), "files", dropped)
	}
	return nil
}

// remedy is what holds all extended attributes, where the image's initramfs can read it.
func remedy(m *machine.Machine) string {
	switch {
	case usesLiveBoot(m):
		return ""
	case !readsEROFS(m):
		return "; erofs can, with a dracut that starts live systems from it"
	}
	return "; erofs can (iso.rootFilesystem)"
}

// checkPacked looks whether a packed root filesystem is as long as it says.
func checkPacked(r *io.SectionReader) error {
	need, err := packedSize(r)
	if err == nil && r.Size() < need {
		err = fmt.Errorf("it has %d bytes of %d", r.Size(), need)
	}
	if err != nil {
		return fmt.Errorf("the packed root filesystem is damaged: %w", err)
	}
	return nil
}

// excluded lists what a live system has no use for, from the root folder: fstab, which names the
// disk's filesystems, and the content of /boot, which lies on the medium. What kdump boots may stay.
// Our module for dracut is shown to the image for the time that dracut runs.
func excluded(m *machine.Machine, keepKdump bool) []string {
	list := []string{"etc/fstab", strings.TrimPrefix(ourModule, "/")}
	entries, _ := m.Root.ReadDir("/boot")
	kept := map[string]bool{}
	for _, e := range entries {
		if version, ok := kdumpVersion(e.Name()); ok && keepKdump {
			kept[e.Name()], kept["vmlinuz-"+version] = true, true
		}
	}
	for _, e := range entries {
		if !kept[e.Name()] {
			list = append(list, "boot/"+e.Name())
		}
	}
	return list
}

// kdumpVersion is the kernel of a kdump image, such as initramfs-6.1kdump.img.
func kdumpVersion(name string) (version string, ok bool) {
	version, ok = strings.CutPrefix(name, "initramfs-")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(version, "kdump.img")
}

// reproducible is the environment of programs whose output must not depend on the clock.
func reproducible(now time.Time) []string {
	return append([]string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(now.Unix(), 10), "MTOOLSRC=/dev/null"}, append(hostcmd.DefaultEnv, hostcmd.HostEnv...)...)
}

// systemd is the program that the kernel starts.
func systemd(m *machine.Machine) string {
	for _, p := range []string{"/lib/systemd/systemd", "/usr/lib/systemd/systemd"} {
		if m.Root.Exists(p) {
			return p
		}
	}
	return "/sbin/init"
}
