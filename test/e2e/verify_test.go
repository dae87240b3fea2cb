//go:build root

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrokenResultIsNotPublished: a run whose script breaks the image fails, says with file and line what
// is broken, and leaves no output.
func TestBrokenResultIsNotPublished(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.qcow2")
	status, text := run(t, "--build-dir", filepath.Join(dir, "build"), "--image-file", base(t, "debian12-efi"), "--output-image-file", out,
		"--output-image-format", "qcow2", "--config-file", writeConfig(t, `
scripts:
  postCustomization:
    - content: |
        sed -i 's/^UUID=[^ ]* \/ /UUID=01234567-89ab-cdef-0123-456789abcdef \/ /' /etc/fstab
        rm /boot/initrd.img-*
`))
	if status != 1 {
		t.Errorf("exit %d", status)
	}
	for _, want := range []string{
		"not fit to be published", "/etc/fstab:3: names UUID=01234567-89ab-cdef-0123-456789abcdef, but no partition of the image is that",
		": the initramfs: names /boot/initrd.img-",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.qcow2*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestOddBaseCanBeCustomized: what was wrong with the base image already is warned of only, by customize; the
// verify command calls it an error.
func TestOddBaseCanBeCustomized(t *testing.T) {
	dir := t.TempDir()
	odd, out := filepath.Join(dir, "odd.raw"), filepath.Join(dir, "out.raw")
	must := func(out []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	must(exec.Command("cp", "--sparse=always", base(t, "debian12-efi"), odd).CombinedOutput())
	if status, text := run(t, "verify", odd); status != 0 || !strings.Contains(text, "nothing wrong was found") {
		t.Fatalf("exit %d\n%s", status, text)
	}
	line := filepath.Join(dir, "fstab")
	must(nil, os.WriteFile(line, []byte("LABEL=gone /data ext4 noauto 0 0\n"), 0o644))
	const root = 65 << 20 // where the second partition begins
	must(exec.Command("debugfs", "-w", "-R", "write "+line+" _localrpms", fmt.Sprintf("%s?offset=%d", odd, root)).CombinedOutput())

	const finding = "/_localrpms: is left over from customizing"
	if status, text := run(t, "verify", odd); status != 1 || !strings.Contains(text, "error: "+finding) {
		t.Errorf("exit %d\n%s", status, text)
	}
	if status, text := run(t, "verify", "--format", "json", odd); status != 1 || !strings.Contains(text, `"file":"/_localrpms"`) {
		t.Errorf("exit %d\n%s", status, text)
	}
	status, text := run(t, "--build-dir", dir, "--image-file", odd, "--output-image-file", out, "--output-image-format", "raw",
		"--config-file", writeConfig(t, "os:\n  hostname: odd\n"))
	if status != 0 || !strings.Contains(text, finding) {
		t.Errorf("exit %d\n%s", status, text)
	}
}
