//go:build root

package hostile

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/test/tinydisk"
)

// linksConfig touches every path of an image that the program itself reads or writes.
const linksConfig = `
os:
  hostname: linked
  additionalFiles:
  - {content: "from the config\n", destination: /etc/app/file}
  - {source: folder/data, destination: /srv/deep/er/file}
  additionalDirs:
  - {source: folder, destination: /opt/folder}
  modules:
  - {name: loaded, loadMode: always, options: {a: "1"}}
  - {name: banned, loadMode: disable}
  kernelCommandLine: {extraCommandLine: [added=1]}
scripts:
  postCustomization:
  - content: echo script > /etc/post
`

// linked is a path and what is done with it.
type linked struct {
	path string
	use  use
	gone string // path that must be taken away for this one to be looked at
}

type use int

const (
	reads use = iota
	writes
	lists  // a folder that is read or mounted on
	enters // a folder that is written into
)

var linkedPaths = []linked{
	{path: "/etc/os-release", use: reads},
	{path: "/usr/lib/os-release", use: reads, gone: "/etc/os-release"},
	{path: "/etc/fstab", use: reads},
	{path: "/bin/sh", use: reads},
	{path: "/etc/selinux/config", use: reads},
	{path: "/boot/grub2/grub.cfg", use: writes},
	{path: "/etc/hostname", use: writes},
	{path: "/etc/resolv.conf", use: writes},
	{path: "/etc/image-customizer-release", use: writes},
	{path: "/usr/share/image-customizer/history.json", use: writes},
	{path: "/usr/share/image-customizer", use: enters},
	{path: "/etc/app/file", use: writes},
	{path: "/etc/app", use: enters},
	{path: "/srv/deep", use: enters},
	{path: "/srv/deep/er/file", use: writes},
	{path: "/opt/folder", use: enters},
	{path: "/opt/folder/data", use: writes},
	{path: "/etc/modules-load.d", use: enters},
	{path: "/etc/modules-load.d/modules-load.conf", use: writes},
	{path: "/etc/modprobe.d", use: enters},
	{path: "/etc/modprobe.d/modules-disabled.conf", use: writes},
	{path: "/etc/modprobe.d/module-options.conf", use: writes},
	{path: "/etc", use: enters},
	{path: "/lib/modules", use: lists},
	{path: "/boot/efi", use: lists},
	{path: "/dev", use: lists},
	{path: "/proc", use: lists},
	{path: "/sys", use: lists},
	{path: "/run", use: enters},
	{path: "/tmp", use: enters},
	{path: "/_imageconfigs", use: lists},
}

// linkableSystem is a root in which every path of linkedPaths is there.
func linkableSystem() tinydisk.Files {
	return tinydisk.System().With(tinydisk.Files{
		"/boot/grub2/grub.cfg": "menuentry tiny {\n\tlinux /vmlinuz root=UUID=" + tinydisk.RootUUID + " $kernelopts\n}\n",
		"/etc/selinux/config":  "SELINUX=permissive\n",
	})
}

// without takes a path, and what lies below it, away.
func without(files tinydisk.Files, path string) tinydisk.Files {
	left := tinydisk.Files{}
	for name, content := range files {
		if name != path && !strings.HasPrefix(name, path+"/") {
			left[name] = content
		}
	}
	return left
}

const secret = "canary-of-the-host"

// host is a folder of this machine that no image may reach.
type host struct{ dir, file, folder, absent string }

func newHost(t *testing.T) host {
	t.Helper()
	dir := t.TempDir()
	h := host{dir, dir + "/file", dir + "/folder", dir + "/absent"}
	h.reset(t)
	return h
}

func (h host) reset(t *testing.T) {
	t.Helper()
	for _, p := range []string{h.absent, h.folder} {
		if err := os.RemoveAll(p); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h.file, secret+"\n")
	write(t, h.folder+"/"+secret, secret+"\n")
}

// state is everything in the folder: names, types, contents, times.
func (h host) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(path + " " + fi.Mode().String() + " " + fi.ModTime().String() + "\n")
		if fi.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			b.Write(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// kinds of links, by name: the text of a link at a path, and whether following it as a plain script
// does reaches the host.
var kinds = []struct {
	name  string
	link  func(l linked, h host) string
	reach bool
}{
	{"absolute", func(l linked, h host) string { return h.target(l) }, true},
	{"climbing", func(l linked, h host) string { return strings.Repeat("../", 24) + h.target(l)[1:] }, true},
	{"looping", func(l linked, _ host) string { return filepath.Base(l.path) }, false},
	{"dangling", func(_ linked, h host) string { return h.absent + "/x" }, false},
}

func (h host) target(l linked) string {
	if l.use == lists || l.use == enters {
		return h.folder
	}
	return h.file
}

// plain does what a script does that joins the root's path and the file's, and tells whether that
// reached the host.
func (h host) plain(t *testing.T, l linked, root string) bool {
	t.Helper()
	path, before := filepath.Join(root, l.path), h.state(t)
	switch l.use {
	case reads:
		data, _ := os.ReadFile(path)
		return string(data) == secret+"\n"
	case lists:
		list, _ := os.ReadDir(path)
		return len(list) == 1 && list[0].Name() == secret
	case enters:
		_ = os.WriteFile(path+"/file", []byte("evil"), 0o644)
	case writes:
		_ = os.WriteFile(path, []byte("evil"), 0o644)
	}
	return h.state(t) != before
}

// TestLinks puts each kind of link at each path of an image.
func TestLinks(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "imagecustomizer")
	build(t, bin, "../../cmd/imagecustomizer", "amd64")
	config := t.TempDir()
	write(t, config+"/config.yaml", linksConfig)
	write(t, config+"/folder/data", "data\n")
	t.Run("none", func(t *testing.T) {
		status, out := customizeLinked(t, bin, config, linkableSystem())
		if status != 0 {
			t.Fatalf("status %d: the test shows nothing\n%s", status, out)
		}
	})
	for i, l := range linkedPaths {
		for j, k := range kinds {
			if os.Getenv("FULL") == "" && i%len(kinds) != j { // a sample: each path once, each kind often
				continue
			}
			t.Run(k.name+" link at "+l.path, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				files := without(linkableSystem(), l.path).With(tinydisk.Files{l.path: "->" + k.link(l, h)})
				if l.gone != "" {
					files = without(files, l.gone)
				}
				root := filepath.Join(t.TempDir(), "tree")
				files.Tree(t, root)
				if reached := h.plain(t, l, root); reached != k.reach {
					t.Errorf("a plain script reached the host: %v", reached)
				}
				h.reset(t)
				before := h.state(t)
				status, out := customizeLinked(t, bin, config, files)
				if status != 0 && status != 1 && status != 3 {
					t.Errorf("status %d\n%s", status, out)
				}
				if status != 0 && !strings.Contains(out, "error: ") {
					t.Errorf("status %d without an error\n%s", status, out)
				}
				if strings.Contains(out, secret) || strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
					t.Errorf("it printed\n%s", out)
				}
				if after := h.state(t); after != before {
					t.Errorf("the host was\n%sand is\n%s", before, after)
				}
				t.Logf("status %d: %s", status, lastLine(out))
			})
		}
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// customizeLinked runs the program on such an image. An output must not hold the host's canary.
func customizeLinked(t *testing.T, bin, config string, files tinydisk.Files) (status int, out string) {
	t.Helper()
	dir := t.TempDir()
	tinydisk.Make(t, dir+"/base.raw", files)
	cmd := exec.Command("timeout", "-s", "KILL", "60", bin, "customize", "--build-dir", dir+"/build", "--image-file", dir+"/base.raw",
		"--config-file", config+"/config.yaml", "--output-image-file", dir+"/out.raw", "--output-image-format", "raw",
		"--package-cache-dir", dir+"/cache")
	text, _ := cmd.CombinedOutput()
	status = cmd.ProcessState.ExitCode()
	if cmd.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() {
		status = 128 + int(unix.SIGKILL)
	}
	if data, err := os.ReadFile(dir + "/out.raw"); err == nil && strings.Contains(string(data), secret+"\n") {
		t.Error("the output holds a file of the host")
	}
	return status, string(text)
}
