//go:build boot

package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// bootTime bounds a test that boots, on a busy host that emulates.
const bootTime = 6 * time.Minute

// base returns the path of a base image that test/base/debian.sh builds or has built.
func base(t *testing.T, variant string) string {
	t.Helper()
	cmd := hostcmd.Unconfined("a test", "../../test/base/debian.sh", variant)
	cmd.Env = append([]string{"XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME")}, hostcmd.DefaultEnv...)
	out, err := cmd.Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

func boot(t *testing.T, ctx context.Context, o Options) *Machine {
	t.Helper()
	start := time.Now()
	m, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.Login(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	t.Logf("login after %.1f s", time.Since(start).Seconds())
	return m
}

func run(t *testing.T, ctx context.Context, m *Machine, script string, want string) {
	t.Helper()
	start := time.Now()
	out, exit, err := m.Run(ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %q, exit status %d, %.1f s", script, out, exit, time.Since(start).Seconds())
	if strings.TrimSpace(out) != want || exit != 0 {
		t.Errorf("%s: got %q, exit status %d; want %q", script, out, exit, want)
	}
}

// variants lists the base images and what a booted guest says of its root. Those that are not sampled
// boot in the end-to-end tests too, customized.
var variants = []struct {
	name, root, fstype, firmware string
	sampled                      bool
}{
	{"debian12-efi", "/dev/vda2", "ext4", "uefi", true},
	{"debian12-bios", "/dev/vda2", "ext4", "bios", true},
	{"debian12-mbr", "/dev/vda1", "ext4", "bios", false},
	{"debian12-parts", "/dev/vda3", "ext4", "uefi", false},
	{"debian12-btrfs", "/dev/vda3[/@]", "btrfs", "uefi", false},
	{"debian12-xfs", "/dev/vda3", "xfs", "uefi", false},
	{"debian12-4k", "/dev/vda2", "ext4", "uefi", true},
}

// notMounted prints the lines of fstab that are neither mounted nor in use as swap.
const notMounted = `grep '^[^#]' /etc/fstab | while read -r what where type rest; do
	[ "$type" = swap ] && [ -n "$(swapon --noheadings)" ] && continue
	findmnt -t "$type" "$where" >/dev/null || echo "$what $where"
done`

func TestBaseImagesBoot(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		if !v.sampled && os.Getenv("FULL") == "" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), bootTime)
			defer cancel()
			m := boot(t, ctx, Options{Image: base(t, v.name), Format: "raw"})
			run(t, ctx, m, "systemctl is-system-running --wait", "running")
			run(t, ctx, m, "findmnt -no SOURCE,FSTYPE / | tr -s ' '", v.root+" "+v.fstype)
			run(t, ctx, m, "hostname", "debian")
			run(t, ctx, m, "[ -d /sys/firmware/efi ] && echo uefi || echo bios", v.firmware)
			run(t, ctx, m, notMounted, "")
			if err := m.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLongOutputArrivesWhole(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	m := boot(t, ctx, Options{Image: base(t, "debian12-efi"), Format: "raw"})
	// The kernel keeps writing to the console while the output goes over it, so that it must be asked for again.
	run(t, ctx, m, "dmesg -n 8; (for i in $(seq 20); do echo noise >/dev/kmsg; sleep 0.1; done) >/dev/null 2>&1 & echo ok", "ok")
	out, exit, err := m.Run(ctx, "seq 150000; exit 3")
	if err != nil || exit != 3 {
		t.Fatalf("exit status %d, error %v", exit, err)
	}
	if lines := strings.Split(out, "\n"); len(lines) != 150001 || lines[149999] != "150000" {
		t.Errorf("%d lines, %d bytes", len(lines), len(out))
	}
	if !strings.Contains(m.Console(), "noise\r\n") {
		t.Error("the kernel wrote nothing: the test shows nothing")
	}
	big := strings.Repeat("echo 'a line that makes the script long' >/dev/null\n", 1000) + "echo done"
	out, _, err = m.Run(ctx, big)
	if err != nil || out != "done\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// The image must stay as it was, and a wrong password must be told from a slow guest.
func TestImageIsNotWrittenAndPasswordIsChecked(t *testing.T) {
	image := filepath.Join(t.TempDir(), "a,b.raw")
	if err := hostcmd.Unconfined("a test", "cp", "--sparse=always", base(t, "debian12-bios"), image).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(image, 0o400); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	m, err := Start(ctx, Options{Image: image, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Login(ctx, "root", "wrong"); err == nil || !strings.Contains(err.Error(), "refuses the password") {
		t.Errorf("got %v", err)
	}
	after, err := os.Stat(image)
	if err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the image was written: %v", err)
	}
}
