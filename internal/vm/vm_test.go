package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// running tells whether a QEMU with this image runs.
func running(t *testing.T, image string) bool {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		text, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(text, []byte(qemu)) && bytes.Contains(text, []byte(escape(image))) {
			return true
		}
	}
	return false
}

// bootable returns an image whose boot sector stops the processor: a machine that runs on.
func bootable(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk,raw")
	sector := append([]byte{0xf4, 0xeb, 0xfd}, make([]byte, 1<<20-3)...) // hlt, jmp to hlt
	sector[510], sector[511] = 0x55, 0xaa
	if err := os.WriteFile(path, sector, 0o400); err != nil {
		t.Fatal(err)
	}
	return path
}

func awaitRunning(t *testing.T, image string, want bool) {
	t.Helper()
	for range 1000 {
		if running(t, image) == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("QEMU running: %v", !want)
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	image := bootable(t)
	m, err := Start(t.Context(), Options{Image: image, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, image, true)
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if running(t, image) {
		t.Error("QEMU runs on")
	}
	if _, err := m.WaitFor(t.Context(), regexp.MustCompile("x")); err == nil || !strings.Contains(err.Error(), "was closed") {
		t.Errorf("got %v", err)
	}
}

func TestCancelEndsTheMachine(t *testing.T) {
	t.Parallel()
	image := bootable(t)
	ctx, cancel := context.WithCancel(t.Context())
	m, err := Start(ctx, Options{Image: image, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	awaitRunning(t, image, true)
	cancel()
	awaitRunning(t, image, false)
}

// Why QEMU ended must not be lost.
func TestQEMUsOwnErrorIsShown(t *testing.T) {
	t.Parallel()
	m, err := Start(t.Context(), Options{Image: bootable(t), Format: "raw", MemoryMiB: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, err = m.WaitFor(t.Context(), regexp.MustCompile("x"))
	if err == nil || !strings.Contains(err.Error(), "-m -1") && !strings.Contains(err.Error(), "Parameter 'size'") {
		t.Errorf("got %v", err)
	}
}

// victim names the image that the test binary, run again, boots until it is killed.
const victim = "VM_TEST_VICTIM"

// TestKilledProcessLeavesNothing: QEMU ends too, and no file ever had a name in the temporary folder.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if image := os.Getenv(victim); image != "" {
		if _, err := Start(t.Context(), Options{Image: image, Format: "raw"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		return
	}
	t.Parallel()
	image := bootable(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	again := hostcmd.Unconfined("a test", os.Args[0], "-test.run", "^"+t.Name()+"$")
	tmp := t.TempDir()
	again.Env = append([]string{victim + "=" + image, "TMPDIR=" + tmp}, hostcmd.DefaultEnv...)
	named := watch(t, tmp)
	done := make(chan error)
	go func() { done <- again.Run(ctx) }()
	awaitRunning(t, image, true)
	cancel() // the Go runtime dies of SIGTERM without running anything
	if err := <-done; err == nil {
		t.Error("the process was not killed")
	}
	awaitRunning(t, image, false)
	if n := named(); n > 0 {
		t.Errorf("%d files had a name", n)
	}
	if err := os.WriteFile(filepath.Join(tmp, "planted"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if named() != 1 {
		t.Error("a planted file was not noticed")
	}
}

// watch returns a function that counts what has been made in a folder since it was last asked.
func watch(t *testing.T, dir string) func() int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	return func() (count int) {
		buf := make([]byte, 1<<16)
		n, _ := unix.Read(fd, buf)
		for at := 0; at+unix.SizeofInotifyEvent <= n; count++ {
			at += unix.SizeofInotifyEvent + int(binary.LittleEndian.Uint32(buf[at+12:]))
		}
		return count
	}
}
