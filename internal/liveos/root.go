package liveos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// packers are the host's programs that pack a root filesystem.
var packers = map[string]string{"squashfs": "mksquashfs", "erofs": "mkfs.erofs"}

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

// packedFile is the packed root filesystem of a medium, which media share where they can.
func packedFile(dir string, s Spec) string {
	name := fmt.Sprintf("root-%s-%d", s.Filesystem.Type, s.Filesystem.Level)
	if s.KeepKdump {
		name += "-kdump"
	}
	return filepath.Join(dir, name)
}

// packAll packs the image's tree for the media, one after the other, since a packer uses all processors.
func packAll(ctx context.Context, m *machine.Machine, specs []Spec, tree, dir string, now time.Time) error {
	done := map[string]bool{}
	for _, s := range specs {
		name := packedFile(dir, s)
		if s.FullOS || done[name] {
			continue
		}
		done[name] = true
		if err := pack(ctx, m, s.Filesystem, tree, excluded(m, s.KeepKdump), name, now); err != nil {
			return err
		}
	}
	return nil
}

// pack packs a tree.
func pack(ctx context.Context, m *machine.Machine, f Filesystem, tree string, exclude []string, out string, now time.Time) error {
	args := append([]string{tree, out, "-noappend", "-no-progress", "-quiet", "-b", "1M", "-comp", "zstd",
		"-Xcompression-level", strconv.Itoa(f.Level), "-xattrs", "-e"}, exclude...)
	if f.Type == "erofs" {
		args = []string{"--quiet", "-zlz4hc," + strconv.Itoa(f.Level)}
		for _, e := range exclude {
			args = append(args, "--exclude-path="+e)
		}
		args = append(args, out, tree)
	}
	c := hostcmd.New(packers[f.Type], args...)
	c.Env = reproducible(now)
	dropped := 0
	c.OnLine = func(line string) {
		if strings.Contains(line, "Unrecognised xattr prefix") {
			dropped++
		}
	}
	if err := c.Run(ctx); err != nil {
		return fmt.Errorf("pack the root filesystem: %w", err)
	}
	if dropped > 0 {
		m.Log.Warn("squashfs cannot hold all extended attributes of the image, such as POSIX ACLs; erofs can (iso.rootFilesystem)", "files", dropped)
	}
	return checkPacked(out)
}

// reproducible is the environment of programs whose output must not depend on the clock.
func reproducible(now time.Time) []string {
	return append([]string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(now.Unix(), 10), "MTOOLSRC=/dev/null"}, append(hostcmd.DefaultEnv, hostcmd.HostEnv...)...)
}

// checkPacked looks whether the file is as long as its filesystem says.
func checkPacked(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	need, err := packedSize(f)
	if err == nil && fi.Size() < need {
		err = fmt.Errorf("it has %d bytes of %d", fi.Size(), need)
	}
	if err != nil {
		return fmt.Errorf("the packed root filesystem is damaged: %w", err)
	}
	return nil
}
