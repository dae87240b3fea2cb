package confine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inside runs a shell script in a fence and returns what it prints.
func inside(t *testing.T, fence Fence, script string, files ...*os.File) string {
	t.Helper()
	var out []byte
	c := exec.Command("/bin/sh", "-c", script)
	c.ExtraFiles = files
	for _, f := range files {
		fence.Files = append(fence.Files, f.Fd())
	}
	if err := Run(fence, func() { out, _ = c.CombinedOutput() }); err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	given, other := filepath.Join(dir, "given"), filepath.Join(dir, "other")
	for _, f := range []string{given, other} {
		if err := os.WriteFile(f, []byte("content\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree := t.TempDir()
	for script, want := range map[string]string{
		"grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\n\\t'": "NoNewPrivs:1Seccomp:2",
		"grep -E 'CapPrm|CapBnd' /proc/self/status | tr -d '\\n\\t'":       "CapPrm:0000000000000000CapBnd:0000000000000000",
		"cat " + given:       "content",
		"cat " + other:       "Permission denied",
		"echo x >> " + given: "Permission denied",
		"cat /etc/shadow":    "Permission denied",
		"ls /root /home":     "Permission denied",
		"echo x > " + tree + "/new; mkdir " + tree + "/d; mv " + tree + "/new " + tree + "/d/; cat " + tree + "/d/new": "x",
		"python3 -c 'import socket; socket.socket(socket.AF_UNIX)'":                                                    "PermissionError",
		"python3 -c 'import socket; socket.socketpair()'":                                                              "PermissionError",
		"kill -0 1; kill -0 $PPID":                  "not permitted",
		"mount -t tmpfs x " + tree:                  "ermission denied",
		"unshare --user true; unshare --mount true": "not permitted",
		"chroot / true":                             "not permitted",
		"mknod " + tree + "/evil b 7 0":             "not permitted",
		"cat <&3":                                   "content",
		"cat /proc/self/fd/3":                       "content",
		"echo y > /proc/self/fd/3":                  "Permission denied",
	} {
		f, err := os.Open(given)
		if err != nil {
			t.Fatal(err)
		}
		if got := inside(t, Fence{Read: []string{given}, Write: []string{tree}}, script, f); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", script, got, want)
		}
		f.Close()
	}
}

// TestFilesWithoutNames: a file that has no name is opened again through its descriptor only.
func TestFilesWithoutNames(t *testing.T) {
	t.Parallel()
	fd, err := unix.Open(t.TempDir(), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{"unnamed": fd, "memory": memory} {
		f := os.NewFile(uintptr(fd), name)
		inside(t, Fence{}, "echo written > /proc/self/fd/3", f)
		data := make([]byte, 8)
		if n, err := f.ReadAt(data, 0); string(data[:n]) != "written\n" {
			t.Errorf("%s: %q, %v", name, data[:n], err)
		}
		f.Close()
	}
}

func TestCapabilitiesThatAreKept(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root has any")
	}
	fence := Fence{Capabilities: []uintptr{unix.CAP_CHOWN, unix.CAP_MKNOD}}
	if got := inside(t, fence, "grep CapPrm /proc/self/status"); !strings.Contains(got, "0000000008000001") {
		t.Errorf("got %s", got)
	}
}

// TestNoOtherThreadIsFencedIn: the runtime must not make threads from one that is.
func TestNoOtherThreadIsFencedIn(t *testing.T) {
	busy, quit := make(chan struct{}), make(chan struct{})
	for range 8 {
		go func() {
			err := Run(Fence{}, func() {
				for range 20 { // goroutines that block, so that the runtime needs threads while this one runs
					go func() { _ = exec.Command("sleep", "0.2").Run() }()
				}
				busy <- struct{}{}
				<-quit
			})
			if err != nil {
				t.Error(err)
			}
			busy <- struct{}{}
		}()
	}
	for range 8 {
		<-busy
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 9 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	fenced := 0
	for _, task := range tasks {
		if text, _ := os.ReadFile(task); strings.Contains(string(text), "NoNewPrivs:\t1") {
			fenced++
		}
	}
	if fenced != 8 {
		t.Errorf("%d threads are fenced in, not 8", fenced)
	}
	close(quit)
	for range 8 {
		<-busy
	}
	if _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); errors.Is(err, unix.EPERM) {
		t.Error("the process itself is fenced in")
	}
}
