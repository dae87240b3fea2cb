//go:build root

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/test/fixture"
)

// everyWay are flags of every kind.
func everyWay(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"site/index.html": "hello\n", "setup.sh": "#!/bin/bash -e\n[[ $BASH_VERSION ]]\necho set up > /etc/setup\n", "password": "tell-nobody\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"--hostname", "web", "--user", "alice", "--ssh-inject", "alice:string:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2cS4zqfmxr4pHxyGmQvFYFzSyRn0MtsUvZb9wQ1xQx a",
		"--root-password", "file:" + dir + "/password", "--copy-in", dir + "/site:/srv", "--write", "/etc/motd=Welcome: a=b\n", "--append-line", "/etc/hosts:192.0.2.7 db",
		"--mkdir", "/srv/it's here", "--run", dir + "/setup.sh", "--run-command", "echo $((6*7)) > /etc/answer", "--chmod", "0600:/etc/answer", "--copy", "/etc/answer:/etc/answer2",
		"--append-kernel-args", "quiet panic=10", "--timezone", "UTC", "--sysctl", "kernel.panic=10", "--firstboot-command", "echo first", "--disable", "fstrim.timer", "--seed", "x",
	}
}

// TestEditIsTheConfigRun: the config that is printed gives the same bytes.
func TestEditIsTheConfigRun(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1750000000")
	flags, image, out := everyWay(t), base(t, "debian12-efi"), t.TempDir()
	status, config := run(t, append([]string{"edit", "--print-config", "--quiet"}, flags...)...)
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, config)
	}
	if status, text := run(t, append([]string{"edit", "-a", image, "--output", out + "/edit.raw", "--checksum"}, flags...)...); status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	again := func() bool {
		time.Sleep(1100 * time.Millisecond)
		cmd := exec.Command(fixture.Binary(t), "--image-file", image, "--config-file", "-", "--output", "raw="+out+"/config.raw", "--seed", "x")
		cmd.Stdin = strings.NewReader(config)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		same, _ := sameFiles(t, out+"/edit.raw", out+"/config.raw")
		return same
	}
	if !again() && !again() { // see TestSameSeedSameBytes
		t.Error("the config that is printed makes another image")
	}
}

// TestEditInPlace: an image keeps its format, owner and mode, and can be edited again; the old one is kept if that is wanted.
func TestEditInPlace(t *testing.T) {
	image := base(t, "debian12-efi")
	kinds := map[string][]string{"raw": nil, "qcow2": {"-o", "cluster_size=32k,lazy_refcounts=on"}, "vpc": {"-o", "subformat=fixed,force_size=on"}}
	if os.Getenv("FULL") != "" {
		kinds["vhdx"], kinds["vdi"] = nil, nil
		kinds["qcow2"] = append(kinds["qcow2"], "-c")
	}
	for format, options := range kinds {
		t.Run(format, func(t *testing.T) {
			path := convert(t, image, format, options...)
			if err := os.Chown(path, 1234, 2345); err != nil {
				t.Fatal(err)
			}
			before := fileOf(t, path)
			facts := toldOf(t, path)
			for i, flags := range [][]string{
				{"--write", "/etc/edited=once", "--backup", ".orig"},
				{"--run-command", `test "$(cat /etc/edited)" = once`, "--hostname", "twice"},
				{"--run-command", `test "$(cat /etc/hostname)" = twice`},
			} {
				if status, text := run(t, append([]string{"edit", "-a", path, "--in-place"}, flags...)...); status != 0 {
					t.Fatalf("run %d: exit %d\n%s", i+1, status, text)
				}
			}
			after := fileOf(t, path)
			if after.Uid != before.Uid || after.Gid != before.Gid || after.Mode != before.Mode || after.Ino == before.Ino {
				t.Errorf("%+v became %+v", before, after)
			}
			if old := fileOf(t, path+".orig"); old.Ino != before.Ino || old.Mtim != before.Mtim {
				t.Errorf("the old image was %+v, and is %+v", before, old)
			}
			if got := toldOf(t, path); got != facts {
				t.Errorf("%s\nbecame\n%s", facts, got)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func fileOf(t *testing.T, path string) (st unix.Stat_t) {
	t.Helper()
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// toldOf is what qemu-img says of an image, without how much of it is used.
func toldOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("qemu-img", "info", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "disk size") }), "\n")
}

// TestEditFails: whatever keeps a run from ending, the image is whole, and nothing is left.
func TestEditFails(t *testing.T) {
	path := convert(t, base(t, "debian12-efi"), "raw")
	before := fileOf(t, path)
	for name, args := range map[string][]string{
		"a script that fails":       {"--run-command", "exit 3"},
		"a package that is unknown": {"--install", "no-such-package"},
		"a unit that is unknown":    {"--enable", "no-such-unit"},
		"a dry run":                 {"--hostname", "x", "--dry-run"},
	} {
		status, text := run(t, append([]string{"edit", "-a", path, "--in-place", "--backup", ".orig"}, args...)...)
		if (status == 0) != (name == "a dry run") {
			t.Errorf("%s: exit %d\n%s", name, status, text)
		}
		if after := fileOf(t, path); after.Ino != before.Ino || after.Mtim != before.Mtim || after.Nlink != 1 {
			t.Errorf("%s: the image changed: %+v", name, after)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
			t.Errorf("%s: left: %v", name, left)
		}
	}
}
