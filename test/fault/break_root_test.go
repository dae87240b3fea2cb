//go:build root

package fault

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// brief is a config whose run takes a second.
const brief = "os:\n  hostname: brief\n"

// liveMedium is a run whose dracut takes a while.
var liveMedium = Scenario{Base: "debian12-live", Config: brief, Outputs: []string{"iso"}}

// TestFailingPrograms has one program of the host fail, in a mount namespace where another lies over
// it.
func TestFailingPrograms(t *testing.T) {
	t.Parallel()
	programs := map[string]Scenario{
		"e2fsck":    {Base: "debian12-efi", Config: brief},
		"qemu-img":  {Base: "debian12-efi", Config: brief, Outputs: []string{"qcow2"}},
		"mkfs.ext4": Scenarios[0],
	}
	if full {
		programs["mkfs.xfs"], programs["resize2fs"], programs["zstd"] = storage[0], storage[1], storage[3]
		programs["mksquashfs"], programs["xorriso"] = liveMedium, liveMedium
	}
	for program, s := range programs {
		l := NewLane(t, s)
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(l.Dir, "home", "broken")
		if err := os.WriteFile(broken, []byte("#!/bin/sh\necho this program refuses >&2\nexit 7\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		l.Accept()
		l.Wrap = []string{"unshare", "--mount", "sh", "-ec", `mount --bind "$1" "$2"; shift 2; exec "$@"`, "sh", broken, path}
		wantFailure(t, l, start(t, l), 1, program, "this program refuses", "exit status 7")
		l.Wrap = nil
		succeed(t, l)
	}
}

// TestKilledProgram kills what the package manager's step has started, as the kernel does when memory
// runs out.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenarios[0])
	r := start(t, l)
	if !r.ReachStep("packages") {
		t.Fatal(r.Text())
	}
	for r.Signal(Programs, syscall.SIGKILL) == 0 {
		time.Sleep(time.Millisecond)
	}
	wantFailure(t, l, r, 1, "killed")
	succeed(t, l)
}

// TestFailingSystemCalls has strace inject errors into the run's own system calls.
func TestFailingSystemCalls(t *testing.T) {
	t.Parallel()
	for inject, c := range map[string]struct {
		status int
		words  []string
	}{
		"syncfs:error=ENOSPC":         {1, []string{"could not be written", "no space left on device", "free some space"}},
		"syncfs:error=EIO":            {1, []string{"could not be written", "input/output error"}},
		"fsync:error=EIO":             {1, []string{"input/output error"}},
		"linkat:error=EIO":            {1, []string{"cannot give the output its name", "input/output error"}},
		"ftruncate:error=EFBIG":       {1, []string{"file too large"}},
		"umount2:error=EBUSY:when=4":  {0, nil}, // tried again
		"copy_file_range:error=EXDEV": {0, nil}, // another way is taken
	} {
		l := NewLane(t, Scenario{Base: "debian12-efi", Config: brief})
		call, _, _ := strings.Cut(inject, ":")
		l.Wrap = []string{"strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + inject}
		if c.status == 0 {
			succeed(t, l)
			continue
		}
		t.Log(inject)
		wantFailure(t, l, start(t, l), c.status, c.words...)
	}
}

// TestBuildFoldersOfEveryKind has the build folder and the outputs on filesystems that lack something:
// overlayfs, as in a container, and one in user space, where no file can be without a name.
func TestBuildFoldersOfEveryKind(t *testing.T) {
	t.Parallel()
	for kind, mount := range map[string]string{
		"overlay": `mkdir -p "$1/lower" "$1/upper" "$1/work"; mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" overlay "$2"`,
		"fuse":    `mkdir -p "$1/lower"; bindfs "$1/lower" "$2"`,
	} {
		if kind == "fuse" && !full { // minutes, since each page is a request to a process
			continue
		}
		l := NewLane(t, Scenario{Base: "debian12-efi", Config: brief, Outputs: []string{"raw", "qcow2"}})
		for _, d := range []string{"build", "out"} {
			dir := filepath.Join(l.Dir, d)
			behind, err := os.MkdirTemp("/var/tmp", "imagecustomizer-fault-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(behind) })
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if text, err := exec.Command("sh", "-ec", mount, "sh", behind, dir).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", kind, err, text)
			}
			t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		}
		l.Accept()
		succeed(t, l)
		l.killed(t, kind)
		succeed(t, l)
	}
}

// killed kills a run. Where a file cannot be without a name, one may stay; the next run removes it.
func (l *Lane) killed(t *testing.T, kind string) {
	t.Helper()
	r := start(t, l)
	if !r.ReachStep("close") {
		t.Fatal(r.Text())
	}
	r.Signal(All, syscall.SIGKILL)
	if _, err := r.Wait(runLimit); err != nil {
		t.Fatal(err)
	}
	limit := settleLimit
	if kind == "fuse" {
		limit = 2 * time.Second
	}
	_, left := l.Settle(limit)
	for _, x := range left {
		if kind != "fuse" || !strings.Contains(x, "/.imagecustomizer-") && !strings.Contains(x, "/.fuse_hidden") {
			t.Errorf("%s: left behind: %s", kind, x)
		}
	}
}
