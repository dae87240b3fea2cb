//go:build boot

package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
)

const firstBootScripts = `
os:
  kernelCommandLine: {extraCommandLine: [no_timer_check, console=ttyS0]}
  firstBoot:
  - name: order
    before: ssh
    content: |
      echo "order $ATTEMPT" >>/root/runs
      systemctl is-active ssh >>/root/runs || true
  - name: long
    content: |
      echo "long $ATTEMPT" >>/root/runs
      sync
      [ "$ATTEMPT" -gt 1 ] || { echo cut me now; sleep 1000; }
  - name: once
    onInterrupt: skip
    content: |
      echo "once $ATTEMPT" >>/root/runs
      sync
      systemctl poweroff --force --force
  - name: last
    content: |
      echo "last $ATTEMPT" >>/root/runs
      exit 7
`

// TestFirstBootScripts cuts scripts off on a real system: by killing the machine, and by a power off of their own. Each
// boot is of the disk that the one before left.
func TestFirstBootScripts(t *testing.T) {
	full(t)
	dir := t.TempDir()
	image, first, second := filepath.Join(dir, "image.qcow2"), filepath.Join(dir, "first.qcow2"), filepath.Join(dir, "second.qcow2")
	customize(t, base(t, "debian12-efi"), firstBootScripts, image, "qcow2")
	until(t, vm.Options{Image: image, Format: "qcow2", Keep: first}, "cut me now")
	until(t, vm.Options{Image: first, Format: "qcow2", Backing: true, Keep: second}, "")
	const script = "systemctl is-system-running --wait >/dev/null; cat /root/runs; systemctl --failed --plain --no-legend | cut -d' ' -f1; find /var/lib/imagecustomizer/first-boot -name script -o -name settings"
	third := filepath.Join(dir, "third.qcow2")
	got := clone(t, vm.Options{Image: second, Format: "qcow2", Backing: true, Keep: third}, script, powerOff)
	want := "order 1\ninactive\nlong 1\nlong 2\nonce 1\nlast 1\n"
	if got[0] != want+"first-boot-last.service" {
		t.Errorf("after three boots: %s", got[0])
	}
	if got := clone(t, vm.Options{Image: third, Format: "qcow2", Backing: true}, script); got[0]+"\n" != want {
		t.Errorf("after four boots: %s", got[0])
	}
}

// until boots a machine, and kills it when it prints a text; without one, it ends by itself.
func until(t *testing.T, o vm.Options, printed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if printed == "" {
		printed = `\x00never\x00`
	}
	if _, err := m.WaitFor(ctx, regexp.MustCompile(printed)); err != nil && ctx.Err() != nil {
		t.Fatalf("%v\n%s", err, m.Console())
	}
}
