//go:build !root

package verify

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systems are images of which all files are tried, by how they boot.
func systems() map[string]struct {
	parts []part
	files map[string]string
} {
	esp := espPart
	esp.mount = "/boot"
	fstab := "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot/efi vfat umask=0077 0 2\n/swap none swap sw 0 0\noverlay /etc overlay lowerdir=/etc,upperdir=/var/u,workdir=/var/w 0 0\n"
	all := map[string]string{
		"/etc/kernel/cmdline": "root=UUID=" + rootUUID + " ro\n", "/etc/crypttab": "a b c\n", "/etc/veritytab": "a b c\n", "/etc/default/grub": "GRUB_CMDLINE_LINUX=\"\"\n",
		"/etc/systemd/system/multi-user.target.wants/a.service": "->/usr/lib/systemd/system/a.service", "/usr/lib/systemd/system/a.service": "[Unit]\nRequires=b.service\n",
		"/usr/lib/systemd/system/b.service": "[Unit]\n", "/etc/dracut.conf.d/a.conf": "a=b\n", "/etc/machine-id": "", "/etc/resolv.conf": "nameserver 192.0.2.1\n",
		"/usr/lib/modules/6.1/modules.builtin": "kernel/fs/ext4/ext4.ko\nkernel/fs/fat/vfat.ko\n", "/usr/lib/x86_64-linux-gnu/libe2p.so.2": elfProgram{}.make(),
		"/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n", "/etc/ld.so.conf.d/a.conf": "/opt/lib\n", "/lib64/ld.so": elfProgram{}.make(), "/opt/lib/liba.so": elfProgram{needs: []string{"libe2p.so.2"}}.make(),
		"/usr/lib/systemd/systemd": elfProgram{interp: "/lib64/ld.so", needs: []string{"liba.so"}}.make(), "/swap": "", "/var/u/": "", "/var/w/": "",
		"/usr/lib/systemd/system/default.target": "[Unit]\nRequires=a.service\n", "/boot/initrd.img-6.1": someInitramfs, fstabFile: fstab,
	}
	return map[string]struct {
		parts []part
		files map[string]string
	}{
		"grub": {[]part{espPart, extRoot}, merge(kernelFiles("6.1", "initrd.img-6.1"), efiFiles("/boot/grub"), all, map[string]string{
			grubCfgPath:                    "load_env\nset a=b\nmenuentry a {\n\tsearch --fs-uuid --set=root " + rootUUID + "\n\tlinux /boot/vmlinuz-6.1 root=UUID=" + rootUUID + " rd.systemd.unit=a.target x=$a\n\tinitrd /boot/initrd.img-6.1\n}\n",
			"/boot/efi/boot/grub/grub.cfg": "search.fs_uuid " + rootUUID + " root\nconfigfile /boot/grub/grub.cfg\n", "/boot/grub/grubenv": envBlock("x=y\n"),
		})},
		"entries": {[]part{espPart, extRoot}, merge(kernelFiles("6.1", "initrd.img-6.1"), efiFiles("/boot/grub2"), all, map[string]string{
			"/boot/grub2/grub.cfg": "search --fs-uuid --set=root " + rootUUID + "\nblscfg\n", "/boot/loader/entries/a-6.1.conf": "linux /boot/vmlinuz-6.1\ninitrd /boot/initrd.img-6.1\noptions root=UUID=" + rootUUID + "\n",
			"/boot/efi/boot/grub2/grub.cfg": "search.fs_uuid " + rootUUID + " root\nconfigfile /boot/grub2/grub.cfg\n", "/boot/grub2/grubenv": envBlock("kernelopts=x\n"),
		})},
		"systemd-boot": {[]part{extRoot, esp}, merge(kernelFiles("6.1", "initrd.img-6.1"), all, map[string]string{
			fstabFile:                     "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot vfat defaults 0 2\n",
			"/boot/EFI/BOOT/BOOTX64.EFI":  program(map[string][]byte{".sdmagic": []byte("#### LoaderInfo: systemd-boot 252 ####")}),
			"/boot/loader/loader.conf":    "default a*\n",
			"/boot/loader/entries/a.conf": "linux /vmlinuz-6.1\ninitrd /initrd.img-6.1\noptions root=UUID=" + rootUUID + "\n",
		})},
		"unified": {[]part{extRoot, esp}, merge(systemFiles(), all, map[string]string{
			fstabFile:                    "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot vfat defaults 0 2\n",
			"/boot/EFI/BOOT/BOOTX64.EFI": program(map[string][]byte{".text": []byte("x")}), "/usr/lib/modules/6.1/vmlinuz": someKernel, "/usr/lib/modules/6.1/modules.dep": "",
			"/boot/EFI/Linux/a.efi": program(map[string][]byte{".linux": []byte(someKernel), ".initrd": []byte(someInitramfs), ".cmdline": []byte("root=UUID=" + rootUUID)}),
		})},
	}
}

const traceVariable = "VERIFY_TRACED"

var openedFile = regexp.MustCompile(`openat2\(\d+<([^>]*)>, "((?:[^"\\]|\\.)*)", \{flags=([A-Z_|]+)`)

// opened lists what is read of an image, whether it is there or not: the files and, behind them with a /, the directories.
func opened(t *testing.T, name string) []string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	c := exec.Command("strace", "-f", "-y", "-qq", "-s", "4096", "-e", "trace=openat2", "-o", log, os.Args[0], "-test.run=^TestTraced$")
	c.Env = append(os.Environ(), traceVariable+"="+name)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range openedFile.FindAllStringSubmatch(string(text), -1) {
		file, flags := path.Join("/", m[2]), m[3]
		if strings.Contains(flags, "O_PATH") || file == "/" {
			continue
		}
		if strings.Contains(flags, "O_DIRECTORY") {
			file += "/"
		}
		found[file] = true
	}
	if len(found) < 40 {
		t.Fatalf("only %d paths: %v", len(found), found)
	}
	return slices.Sorted(maps.Keys(found))
}

// TestTraced is what opened looks at.
func TestTraced(t *testing.T) {
	s, is := systems()[os.Getenv(traceVariable)]
	if !is {
		return
	}
	if found := Run(t.Context(), fixture(t, "gpt", s.parts, s.files)); len(found) > 30 {
		t.Error(found)
	}
}

// contents are what a file may be replaced by; own is its text.
var contents = map[string]func(own string) []byte{
	"one line":        func(string) []byte { return bytes.Repeat([]byte("x"), 16<<20-1) },
	"long lines":      func(string) []byte { return bytes.Repeat(append(bytes.Repeat([]byte("x y "), 1<<14), '\n'), 255) },
	"bad lines":       func(string) []byte { return bytes.Repeat([]byte("x\n"), 8<<20-1) },
	"a MiB of these":  func(string) []byte { return bytes.Repeat([]byte("x\n"), 512<<10-1) },
	"numbered lines":  func(string) []byte { return numbered("x%d /y%d z 0 0\n") },
	"numbered mounts": func(string) []byte { return numbered("UUID=%d /y%d ext4 defaults 0 0\n") },
	"numbered values": func(string) []byte { return numbered("set v%d=/dev/loop%d\n") },
	"doubling": func(string) []byte {
		text := "set a0=xxxxxxxxxxxxxxxx\n"
		for i := range 60 {
			text += fmt.Sprintf("set a%d=$a%d$a%d\n", i+1, i, i)
		}
		return []byte(text + "menuentry a {\n linux /$a60 root=$a59\n initrd $a60\n}\n")
	},
	"menu entries": func(string) []byte {
		return numbered("menuentry a%d {\n linux /boot/vmlinuz-6.1 root=LABEL=%d init=/x\n}\n")
	},
	"arguments": func(string) []byte {
		return slices.Concat([]byte("options root=LABEL=x "), bytes.ReplaceAll(numbered("init=/x%d systemd.wants=%d.service\n")[:900<<10], []byte("\n"), []byte(" ")), []byte("\nlinux /x\n"))
	},
	"units": func(string) []byte {
		return append([]byte("[Unit]\n"), numbered("Requires=a%d.service b%d.target\n")...)
	},
	"itself again":        func(own string) []byte { return bytes.Repeat([]byte(own+"\n"), (16<<20-1)/(len(own)+1)) },
	"a few MiB of itself": func(own string) []byte { return bytes.Repeat([]byte(own+"\n"), (900<<10)/(len(own)+1)) },
}

func numbered(format string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 16<<20-200; i++ {
		fmt.Fprintf(&b, format, i, i)
	}
	return b.Bytes()
}

// Limits for an image that is made to keep the check busy.
const (
	mostTime   = 3 * time.Second // of all processors together
	mostMemory = 1 << 30         // allocated in all, in bytes; what is in use at a time is less
	manyLinks  = 3000
	manyNames  = 20000
)

// TestHostileFiles makes every file that is read of an image huge, or of a million lines, or of many names.
func TestHostileFiles(t *testing.T) {
	seen := map[string]bool{}
	all := systems()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		files := opened(t, name)
		p := newPatient(t, fixture(t, "gpt", s.parts, s.files))
		for _, file := range files {
			if fi, err := p.Root.Lstat(strings.TrimSuffix(file, "/")); seen[file] || err == nil && fi.Mode()&os.ModeSymlink != 0 {
				continue // what a link leads to is tried
			}
			seen[file] = true
			for _, v := range variants(file) {
				if os.Getenv("FULL") == "" && crc32.ChecksumIEEE([]byte(name+file+v.name))%100 != 0 {
					continue
				}
				t.Run(name+" "+strings.ReplaceAll(file, "/", ":")+" "+v.name, func(t *testing.T) { p.bounded(t, file, v.make) })
			}
		}
	}
}

type variant struct {
	name string
	make func(p *patient, real string) error // real is a path of the host
}

func variants(file string) (list []variant) {
	add := func(name string, make func(p *patient, real string) error) { list = append(list, variant{name, make}) }
	if strings.HasSuffix(file, "/") {
		for _, form := range []string{"x%d", "x%d.conf", "vmlinuz-%d", "a%d.service", "x%d.efi", "x%d.wants"} {
			add("names "+form, func(p *patient, real string) error {
				if err := os.MkdirAll(real, 0o755); err != nil {
					return err
				}
				first := filepath.Join(real, fmt.Sprintf(form, 0))
				if err := os.WriteFile(first, []byte(someKernel), 0o755); err != nil {
					return err
				}
				return p.links(first, manyNames, func(n int) string { return filepath.Join(real, fmt.Sprintf(form, n)) })
			})
		}
		return list
	}
	add("huge", func(_ *patient, real string) error { return sized(real, nil, 1<<40) })
	add("huge after itself", func(_ *patient, real string) error {
		own, _ := os.ReadFile(real)
		return sized(real, own, 1<<40)
	})
	for name, text := range contents {
		add(name, func(_ *patient, real string) error {
			own, _ := os.ReadFile(real)
			return sized(real, text(string(own)), 0)
		})
	}
	for name, size := range map[string]int64{"links": 0, "links of 16 MiB": 16<<20 - 1} {
		add(name, func(p *patient, real string) error {
			own, _ := os.ReadFile(real)
			if err := sized(real, own, size); err != nil {
				return err
			}
			ext := filepath.Ext(real)
			return p.links(real, manyLinks, func(n int) string { return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(real, ext), n, ext) })
		})
	}
	return list
}

// sized makes a file anew: of this text, and of this size where that is larger.
func sized(real string, text []byte, size int64) error {
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		return err
	}
	_ = os.Remove(real)
	if err := os.WriteFile(real, text, 0o755); err != nil {
		return err
	}
	if size > int64(len(text)) {
		return os.Truncate(real, size)
	}
	return nil
}

// links gives a file further names.
func (p *patient) links(real string, count int, name func(int) string) error {
	for n := 1; n < count; n++ {
		if err := os.Link(real, name(n)); err != nil {
			return err
		}
		p.undo = append(p.undo, func() { _ = os.Remove(name(n)) })
	}
	return nil
}

// bounded changes a file, and has the image checked within the limits.
func (p *patient) bounded(t *testing.T, file string, change func(*patient, string) error) {
	p.t, p.undo = t, nil
	name := strings.TrimSuffix(file, "/")
	parent, err := p.Root.Real(path.Dir(name))
	if err != nil {
		parent = path.Dir(name)
	}
	name = path.Join(parent, path.Base(name))
	real := filepath.Join(p.Root.Dir(), name)
	fi, statErr := os.Lstat(real)
	switch {
	case statErr == nil && fi.Mode().IsRegular():
		aside := filepath.Join(t.TempDir(), "aside")
		p.must(os.Link(real, aside))
		p.undo = append(p.undo, func() { p.must(os.Rename(aside, real)) })
	case statErr != nil:
		p.undo = append(p.undo, func() { p.must(os.RemoveAll(real)) })
	default:
		p.undo = append(p.undo, func() { _ = os.Remove(filepath.Join(real, "x0")) })
	}
	defer func() {
		for i := len(p.undo) - 1; i >= 0; i-- {
			p.undo[i]()
		}
	}()
	if err := change(p, real); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := processorTime()
	found := Run(ctx, p.Image)
	took := processorTime() - began
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; took > mostTime || used > mostMemory || ctx.Err() != nil {
		t.Errorf("took %s of the processors and %d MiB, for %d findings", took, used>>20, len(found))
	}
	if len(found) > 20000 {
		t.Errorf("%d findings", len(found))
	}
}

func processorTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
