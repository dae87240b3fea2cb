//go:build boot

package hostile

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/tinydisk"
)

// guest boots Debian with a second disk that holds a folder, mounted at /srv/test.
func guest(t *testing.T, ctx context.Context, dir string) *vm.Machine {
	t.Helper()
	cmd := exec.Command("../base/debian.sh", "debian12-efi")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	data := filepath.Join(t.TempDir(), "data.raw")
	tinydisk.Run(t, "", "mkfs.ext4", "-q", "-m", "0", "-d", dir, data, "6G")
	m, err := vm.Start(ctx, vm.Options{Image: lines[len(lines)-1], Format: "raw", Data: data, MemoryMiB: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.Login(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	run(t, ctx, m, "mkdir -p /srv/test && mount /dev/vdb /srv/test && dmesg -C")
	return m
}

func run(t *testing.T, ctx context.Context, m *vm.Machine, script string) string {
	t.Helper()
	out, status, err := m.Run(ctx, script)
	if err != nil || status != 0 {
		t.Fatalf("in the guest: %s: status %d, %v\n%s", script, status, err, out)
	}
	return out
}

// TestScriptsInAGuest tries everything on a machine that may be harmed.
func TestScriptsInAGuest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	dir := t.TempDir()
	list := fit(guestOnly)
	if os.Getenv("FULL") != "" {
		list = fit(anywhere, guestOnly)
	}
	lay(t, dir, "/srv/test", list)
	m := guest(t, ctx, dir)
	out := run(t, ctx, m, drive("/srv/test")+" </dev/null | cat")
	judge(t, out, list)
	if t.Failed() {
		log, _, _ := m.Run(ctx, "cat /srv/test/log /srv/test/tried")
		t.Logf("%s\n%s", out, log)
	}
}
