//go:build root

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"imagecustomizer/test/fixture"
)

// small is a config whose run needs no network and a second.
const small = `
os:
  hostname: small
  users:
  - name: alice
    password: {type: plain-text, value: correct horse}
    sshPublicKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w alice"]
  additionalFiles:
  - {content: "greetings\n", destination: /etc/e2e/hello, permissions: "640"}
  services:
    disable: [ssh]
scripts:
  postCustomization:
  - content: echo "$WORD" > /etc/e2e/post
    environmentVariables: {WORD: told}
`

// sum is a hash of a disk image and its times; holes cost nothing.
func sum(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "tar -S -cf - '"+file+"' 2>/dev/null | sha256sum").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestChangesAreInTheImage(t *testing.T) {
	t.Parallel()
	image := base(t, "debian12-efi")
	before := sum(t, image)
	out := filepath.Join(t.TempDir(), "out.raw")
	customize(t, image, small, out, "raw")
	for path, want := range map[string]string{
		"/etc/hostname": "small", "/etc/e2e/hello": "greetings\n", "/etc/e2e/post": "told\n",
		"/home/alice/.ssh/authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w alice\n",
	} {
		if got := readFile(t, out, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if got := readFile(t, image, path); got == want {
			t.Errorf("%s is in the base image already", path)
		}
	}
	for _, secret := range []string{"correct horse", "AAAA", "told", "greetings"} {
		if strings.Contains(readFile(t, out, "/usr/share/image-customizer/history.json"), secret) {
			t.Errorf("the history holds %q", secret)
		}
	}
	if sum(t, image) != before {
		t.Error("the base image was changed")
	}
}

func TestFormatsInAndOut(t *testing.T) {
	t.Parallel()
	image := base(t, "debian12-efi")
	dir := t.TempDir()
	all := []string{"raw", "raw.zst", "qcow2", "qcow2-zstd", "vhd", "vhd-fixed", "vhdx"}
	for i, in := range []struct{ name, driver, options string }{
		{"qcow2", "qcow2", "compression_type=zlib"},
		{"vhdx", "vhdx", "block_size=2M"},
		{"vhd", "vpc", "subformat=dynamic,force_size=on"},
		{"vhd-fixed", "vpc", "subformat=fixed,force_size=on"},
	} {
		source := convert(t, image, in.driver, "-o", in.options)
		args := []string{"--build-dir", dir, "--image-file", source, "--config-file", writeConfig(t, small), "--checksum"}
		formats := all
		if i > 0 { // the outputs do not depend on the input's format
			formats = all[:1]
		}
		for _, f := range formats {
			args = append(args, "--output", f+"="+filepath.Join(dir, in.name, f))
		}
		if status, text := run(t, args...); status != 0 {
			t.Fatalf("%s: exit %d\n%s", in.name, status, text)
		}
		raw := filepath.Join(dir, in.name, "raw")
		if got := readFile(t, raw, "/etc/hostname"); got != "small" {
			t.Errorf("%s: host name %q", in.name, got)
		}
		if i > 0 {
			continue
		}
		for f, driver := range map[string]string{"qcow2": "qcow2", "qcow2-zstd": "qcow2", "vhd": "vpc", "vhdx": "vhdx"} {
			if text, err := exec.Command("qemu-img", "compare", "-f", "raw", "-F", driver, raw, filepath.Join(dir, in.name, f)).CombinedOutput(); err != nil {
				t.Errorf("%s to %s: %s", in.name, f, text)
			}
		}
		if text, err := exec.Command("sh", "-c", "zstd -dc '"+raw+".zst' | cmp - '"+raw+"'").CombinedOutput(); err != nil {
			t.Errorf("raw.zst: %s", text)
		}
		if text, err := exec.Command("sh", "-c", "cd '"+filepath.Dir(raw)+"' && sha256sum -c *.sha256").CombinedOutput(); err != nil {
			t.Errorf("checksums: %s", text)
		}
	}
}

func TestConvertNeedsNoRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(dir, "small.raw")
	if err := os.WriteFile(small, bytes.Repeat([]byte("data"), 1<<18), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := fixture.Binary(t)
	own := filepath.Join(dir, "imagecustomizer")
	data, _ := os.ReadFile(bin)
	if err := os.WriteFile(own, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != "/"; p = filepath.Dir(p) {
		if fi, err := os.Stat(p); err == nil && fi.Mode()&1 == 0 {
			if err := os.Chmod(p, fi.Mode()|1); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command(own, "convert", "--image-file", small, "--output", "vhdx="+filepath.Join(dir, "x.vhdx"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out.raw")
	status, text := run(t, "--build-dir", dir+"/build", "--image-file", base(t, "debian12-efi"), "--output", "raw="+out, "--config-file", writeConfig(t, small), "--dry-run")
	if status != 0 || !strings.Contains(text, "set the host name to small") || !strings.Contains(text, "add or change user alice") {
		t.Errorf("exit %d\n%s", status, text)
	}
	if strings.Contains(text, "correct horse") {
		t.Error("the plan shows a password")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a dry run wrote an image")
	}
}

// deb makes a Debian package of one file and a postinst script, and returns its folder. fields are
// further lines of its description.
func deb(t *testing.T, dir, name, version, postinst string, fields ...string) string {
	t.Helper()
	tree := t.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: test <t@example.invalid>\nDescription: fixture\n%s", name, version, strings.Join(fields, ""))
	for file, text := range map[string]string{"DEBIAN/control": control, "DEBIAN/postinst": "#!/bin/sh\n" + postinst + "\n", "usr/share/" + name: version + "\n"} {
		if err := os.MkdirAll(filepath.Join(tree, filepath.Dir(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, filepath.Join(dir, name+"_"+version+".deb")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return dir
}

// TestPackagesFromFolders has two folders with the same package: the later one wins, though its
// version is lower. What a package makes of the machine's identity does not stay. The question of how much
// space a transaction needs installs nothing: the package's script sees the command that runs it.
func TestPackagesFromFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	identity := "touch /etc/ssh/ssh_host_fixture_key; echo abc > /etc/machine-id; touch /var/lib/systemd/random-seed; deb-systemd-invoke start ssh.service; " +
		`for p in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$p; echo; done | grep '[a]pt-get' > /etc/transaction; exit 0`
	first := deb(t, dir+"/first", "fixture-a", "2.0", "exit 0")
	deb(t, first, "fixture-b", "1.0", identity)
	second := deb(t, dir+"/second", "fixture-a", "1.0", "exit 0")
	out := filepath.Join(dir, "out.raw")
	image := base(t, "debian12-efi")
	config := "os:\n  packages:\n    install: [fixture-a, fixture-b]\n"
	customize(t, image, config, out, "raw", "--deb-source", first, "--deb-source", second, "--disable-base-image-rpm-repos", "--package-cache-dir", dir+"/cache")
	if got := readFile(t, out, "/usr/share/fixture-a"); got != "1.0\n" {
		t.Errorf("fixture-a is %q, the later source has 1.0", got)
	}
	if got := readFile(t, out, "/usr/share/fixture-b"); got != "1.0\n" {
		t.Errorf("fixture-b is %q", got)
	}
	if got := readFile(t, out, "/etc/transaction"); !strings.Contains(got, "install") || strings.Contains(got, "assume-no") || strings.Contains(got, "print-uris") {
		t.Errorf("the package was installed by %q", got)
	}
	for _, path := range []string{"/etc/machine-id", "/var/log/dpkg.log", "/etc/apt/sources.list", "/etc/resolv.conf"} {
		if got, want := readFile(t, out, path), readFile(t, image, path); got != want {
			t.Errorf("%s changed from %q to %q", path, want, got)
		}
	}
	for _, path := range []string{"/etc/ssh/ssh_host_fixture_key", "/var/lib/systemd/random-seed", "/usr/sbin/policy-rc.d", "/run/imagecustomizer"} {
		if exists(t, out, path) {
			t.Errorf("%s stayed in the image", path)
		}
	}
	for _, d := range []string{first, second} {
		if extra, _ := filepath.Glob(d + "/[^f]*"); len(extra) > 0 {
			t.Errorf("written into the user's folder: %v", extra)
		}
	}
	config = "os:\n  packages:\n    remove: [fixture-a]\n"
	again := filepath.Join(dir, "again.raw")
	customize(t, out, config, again, "raw")
	if exists(t, again, "/usr/share/fixture-a") || !exists(t, again, "/usr/share/fixture-b") {
		t.Error("the package was not removed, or the wrong one was")
	}
}

// TestFailures has runs fail and looks at the exit status, the text, and that nothing is left.
func TestFailures(t *testing.T) {
	t.Parallel()
	image := base(t, "debian12-efi")
	broken := deb(t, t.TempDir(), "fixture-broken", "1.0", "echo this package refuses; exit 3")
	deb(t, broken, "fixture-large", "1.0", "exit 0", "Installed-Size: 99999999\n")
	garbage := filepath.Join(t.TempDir(), "garbage.raw")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("x"), 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config, image string
		args          []string
		status        int
		want          []string
	}{
		"script":          {"scripts: {postCustomization: [{name: mine, content: 'echo the reason >&2; exit 9'}]}", image, nil, 1, []string{"script mine", "the reason", "exit status 9"}},
		"told password":   {"os: {users: [{name: bob, password: {type: plain-text, value: correct horse}}]}\nscripts: {postCustomization: [{content: 'echo correct horse is out >&2; exit 9'}]}", image, nil, 1, []string{"*** is out"}},
		"unknown service": {"os: {services: {enable: [nonsense]}}", image, nil, 3, []string{"no service nonsense"}},
		"missing package": {"os: {packages: {install: [nonsense-package]}}", image, []string{"--deb-source", broken, "--disable-base-image-rpm-repos"}, 3, []string{"no source has a package nonsense-package"}},
		"failing package": {"os: {packages: {install: [fixture-broken]}}", image, []string{"--deb-source", broken, "--disable-base-image-rpm-repos"}, 1, []string{"this package refuses"}},
		"no room":         {"os: {packages: {install: [fixture-large]}}", image, []string{"--deb-source", broken, "--disable-base-image-rpm-repos"}, 1, []string{"the packages need 97274 MiB", "storage.resizeDisk"}},
		"not installed":   {"os: {packages: {remove: [nonsense-package]}}", image, nil, 3, []string{"not installed: nonsense-package"}},
		"no sources":      {"os: {packages: {install: [jq]}}", image, []string{"--disable-base-image-rpm-repos"}, 3, []string{"no source of packages", "hint"}},
		"user number":     {"os: {users: [{name: root, uid: 5}, {name: daemon, homeDirectory: /x}], groups: [{name: root, gid: 7}]}", image, nil, 3, []string{"user root exists in the image with number 0", "user daemon exists", "group root exists"}},
		"rpm repo":        {"os: {packages: {install: [jq]}}", image, []string{"--rpm-source", writeRepo(t)}, 3, []string{"--rpm-source is of no use for an image with apt"}},
		"kernel removed":  {"scripts: {finalizeCustomization: [{content: 'rm -rf /lib/modules/*', environmentVariables: {PATH: '/bin'}}]}", image, nil, 1, []string{"would not boot"}},
		"not an image":    {"os: {hostname: x}", garbage, nil, 1, []string{"no partition table"}},
	} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out", "image.qcow2")
		args := append([]string{"--build-dir", dir + "/build", "--image-file", c.image, "--output", "qcow2=" + out, "--config-file", writeConfig(t, c.config)}, c.args...)
		status, text := run(t, args...)
		if status != c.status {
			t.Errorf("%s: exit %d, want %d\n%s", name, status, c.status, text)
		}
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in\n%s", name, w, text)
			}
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func writeRepo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.b.repo")
	if err := os.WriteFile(path, []byte("[a]\nbaseurl=file:///nowhere\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// files lists the regular files below a folder.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
