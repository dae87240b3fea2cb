// Package tinydisk makes disk images of a few MiB that the program takes for a whole system: an EFI
// system partition and an ext4 root with BusyBox, users, a kernel's folder and an fstab. Making one
// takes a fraction of a second and no privileges.
package tinydisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Identifiers of the parts of every disk.
const (
	RootUUID = "0a1b2c3d-1111-4222-8333-44445555aaaa"
	ESPID    = "0A1B2C3D"
)

// Places of the parts, in bytes.
const (
	MiB       = 1 << 20
	ESPStart  = 1 * MiB
	ESPSize   = 4 * MiB
	RootStart = ESPStart + ESPSize
	RootSize  = 26 * MiB
	Size      = RootStart + RootSize + 1*MiB
)

// busybox is where Debian's busybox-static installs the program.
const busybox = "/bin/busybox"

// applets are the programs that a script of a test may use.
var applets = strings.Fields(`sh ls cat echo cp mv rm ln mkdir rmdir mount umount mknod chroot hostname dmesg kill sleep
	grep sed cut tr head tail wc dd id env true false test [ stat chmod chown touch find date timeout setsid unshare losetup
	insmod rmmod ip ifconfig readlink od sort printf xargs basename dirname ps sync seq awk expr swapon`)

// Files are the contents of the root by path. One that begins with "->" is a symbolic link; one that
// begins with "|" is a named pipe.
type Files map[string]string

// System is what every root holds unless told otherwise.
func System() Files {
	f := Files{
		"/etc/os-release":                 "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Tiny Debian\"\n",
		"/etc/fstab":                      "UUID=" + RootUUID + " / ext4 defaults 0 1\nUUID=0A1B-2C3D /boot/efi vfat umask=0077 0 1\n",
		"/etc/passwd":                     "root:x:0:0:root:/root:/bin/sh\n",
		"/etc/group":                      "root:x:0:\n",
		"/etc/shadow":                     "root:*:19000:0:99999:7:::\n",
		"/etc/hostname":                   "tiny\n",
		"/etc/resolv.conf":                "nameserver 192.0.2.1\n",
		"/lib/modules/6.1.0-1-amd64/file": "module\n",
		"/usr/bin/env":                    "->/bin/busybox",
	}
	for _, a := range applets {
		f["/bin/"+a] = "->busybox"
	}
	return f
}

// With returns the files with others added or, where the content is empty, taken away.
func (f Files) With(more Files) Files {
	all := Files{}
	for _, m := range []Files{f, more} {
		for name, content := range m {
			all[name] = content
			if content == "" {
				delete(all, name)
			}
		}
	}
	return all
}

// Make writes the image of a disk with such a root to a file.
func Make(t testing.TB, path string, files Files) {
	t.Helper()
	dir := t.TempDir()
	tree, root, esp := filepath.Join(dir, "tree"), filepath.Join(dir, "root"), filepath.Join(dir, "esp")
	files.Tree(t, tree)
	Run(t, "", "mkfs.ext4", "-q", "-m", "0", "-U", RootUUID, "-L", "tiny", "-E", "root_owner=0:0", "-d", tree, root, fmt.Sprint(RootSize>>10)+"k")
	Run(t, "", "mkfs.vfat", "-C", "-i", ESPID, "-n", "ESP", esp, fmt.Sprint(ESPSize>>10))
	if err := os.WriteFile(filepath.Join(dir, "loader"), []byte("loader\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	Run(t, "", "mcopy", "-i", esp, filepath.Join(dir, "loader"), "::/loader.efi")
	disk, err := os.Create(path)
	if err == nil {
		err = disk.Truncate(Size)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	Run(t, fmt.Sprintf("label: gpt\nstart=%d, size=%d, type=uefi, name=ESP\nstart=%d, size=%d, type=linux, name=root\n",
		ESPStart/512, ESPSize/512, RootStart/512, RootSize/512), "sfdisk", "-q", path)
	for from, at := range map[string]int64{esp: ESPStart, root: RootStart} {
		data, err := os.ReadFile(from)
		if err == nil {
			_, err = disk.WriteAt(data, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Tree makes the folder that becomes the root.
func (f Files) Tree(t testing.TB, tree string) {
	t.Helper()
	for _, d := range []string{"bin", "boot/efi", "dev", "proc", "sys", "run", "tmp", "root", "etc", "var", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	Run(t, "", "cp", busybox, filepath.Join(tree, "bin/busybox"))
	for name, content := range f {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := place(path, content); err != nil {
			t.Fatal(err)
		}
	}
}

func place(path, content string) error {
	if target, ok := strings.CutPrefix(content, "->"); ok {
		if fi, err := os.Lstat(path); err == nil && fi.IsDir() { // a folder of every system
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
		return os.Symlink(target, path)
	}
	if content == "|" {
		return exec.Command("mkfifo", path).Run()
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// Run runs a program and returns what it prints; a failure ends the test.
func Run(t testing.TB, input, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// Read returns a file of the root of a disk, without mounting it; empty when it is not there.
func Read(t testing.TB, disk, name string) string {
	t.Helper()
	return Run(t, "", "debugfs", "-R", "cat "+name, fmt.Sprintf("%s?offset=%d", disk, RootStart))
}
