//go:build root || boot

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
)

// base returns the cached base image of that name, building it where needed.
func base(t *testing.T, name string) string {
	t.Helper()
	return fixture.Base(t, name)
}

// run starts the program and returns its exit status and everything it printed.
func run(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	cmd := exec.Command(fixture.Binary(t), args...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// customize runs the program on an image with this config and fails the test if the run fails.
func customize(t *testing.T, image, config, out, format string, more ...string) {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{
		"--build-dir", filepath.Join(dir, "build"), "--image-file", image, "--output-image-file", out,
		"--output-image-format", format, "--config-file", writeConfig(t, config),
	}, more...)
	if status, text := run(t, args...); status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
}

// writeConfig puts a config into a folder of its own.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// convert writes an image in another format with qemu-img, as a base image of that format.
func convert(t *testing.T, image, format string, options ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "base."+format)
	args := append([]string{"convert", "-f", "raw", "-O", format}, options...)
	if text, err := exec.Command("qemu-img", append(args, image, out)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// starved are kernel arguments for guests on a host that is busy with other things, by which they get time: one that misses
// its timer panics, or is deaf, and systemd gives devices up that are slow, the serial console's among them.
const starved = "no_timer_check, systemd.default_timeout_start_sec=600, systemd.default_device_timeout_sec=600"

// probe is one thing to find in a booted system.
type probe struct{ script, want string }

// boot starts the image and checks every probe in it.
func boot(t *testing.T, image, format string, probes []probe) {
	t.Helper()
	bootWith(t, vm.Options{Image: image, Format: format}, probes)
}

// inGuest boots an image, logs in as root and calls f; the guest ends with it.
func inGuest(t *testing.T, o vm.Options, f func(ctx context.Context, m *vm.Machine)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Login(ctx, "root", "root"); err != nil {
		t.Fatalf("%v\n%s", err, m.Console())
	}
	f(ctx, m)
}

func bootWith(t *testing.T, o vm.Options, probes []probe) {
	t.Helper()
	inGuest(t, o, func(ctx context.Context, m *vm.Machine) {
		for _, p := range append([]probe{{"systemctl is-system-running --wait", "running"}}, probes...) {
			got, _, err := m.Run(ctx, p.script)
			if err != nil {
				t.Fatalf("%s: %v\n%s", p.script, err, m.Console())
			}
			if strings.TrimSpace(got) != p.want {
				t.Errorf("%s\n got: %s\nwant: %s", p.script, strings.TrimSpace(got), p.want)
			}
		}
	})
}

// webServerDebs are what Debian's base images lack of examples/web-server.yaml.
var webServerDebs = []string{"nginx-light", "locales"}

func rootOffset(t *testing.T, disk string) int64 {
	t.Helper()
	return fixture.RootOffset(t, disk)
}

// readFile returns a file of the ext4 root of a raw disk, read without mounting it.
func readFile(t *testing.T, disk, path string) string {
	t.Helper()
	out, err := exec.Command("debugfs", "-R", "cat "+path, fmt.Sprintf("%s?offset=%d", disk, rootOffset(t, disk))).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func exists(t *testing.T, disk, path string) bool {
	t.Helper()
	out, err := exec.Command("debugfs", "-R", "stat "+path, fmt.Sprintf("%s?offset=%d", disk, rootOffset(t, disk))).CombinedOutput()
	return err == nil && strings.Contains(string(out), "Inode:")
}

// sh runs a script in a folder and returns what it prints.
func sh(t *testing.T, dir, script string) string {
	t.Helper()
	c := exec.Command("bash", "-euo", "pipefail", "-c", script)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}
