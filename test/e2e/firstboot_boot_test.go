//go:build boot

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
)

// firstBootScripts has a program sync in the place of the system's, which the runner of the scripts calls whenever it has
// remembered something: there it stops, once each, and the machine is killed.
const firstBootScripts = `
os:
  kernelCommandLine: {extraCommandLine: [` + starved + `, console=ttyS0]}
  additionalFiles:
  - destination: /usr/local/bin/sync
    permissions: "755"
    content: |
      #!/bin/sh
      /usr/bin/sync "$@" || exit
      case $PWD in */first-boot/long) ;; *) exit 0 ;; esac
      stop() {
        [ -e "/root/stopped-$1" ] && return
        touch "/root/stopped-$1"
        /usr/bin/sync
        echo "cut $1 the end" | tee /dev/console >/dev/null
        sleep 1000
      }
      case $1:$(cat attempt):$(cat ended 2>/dev/null) in
      .:1:) stop long-before ;;
      ended.new:*) stop just-before ;;
      .:*:0) stop behind ;;
      esac
  firstBoot:
  - name: order
    before: ssh
    content: |
      echo "order $ATTEMPT" >>/root/runs
      systemctl is-active ssh >>/root/runs || true
  - name: long
    content: |
      echo "begun $ATTEMPT" >>/root/runs
      sync
      [ "$ATTEMPT" -gt 2 ] || { echo cut in the script; sleep 1000; }
      echo "done $ATTEMPT" >>/root/runs
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

// TestFirstBootScripts cuts scripts off on a real system: before, in and behind the script, just before its end is
// remembered and just behind that, by killing the machine; and by a power off of its own. Each boot is of the disk that the
// one before left.
func TestFirstBootScripts(t *testing.T) {
	full(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "image.qcow2")
	customize(t, base(t, "debian12-efi"), firstBootScripts, image, "qcow2")
	o, boots := vm.Options{Image: image, Format: "qcow2"}, 0
	next := func() vm.Options {
		boots++
		o.Keep = filepath.Join(dir, fmt.Sprintf("%d.qcow2", boots))
		return o
	}
	for _, printed := range []string{"cut long-before the end", "cut in the script", "cut just-before the end", "cut behind the end", ""} {
		until(t, next(), printed)
		o.Image, o.Backing = o.Keep, true
	}
	const script = "systemctl is-system-running --wait >/dev/null; cat /root/runs; systemctl --failed --plain --no-legend | cut -d' ' -f1; find /var/lib/imagecustomizer/first-boot -name script -o -name settings"
	const want = "order 1\ninactive\nbegun 2\nbegun 3\ndone 3\nbegun 4\ndone 4\nonce 1\nlast 1"
	if got := clone(t, next(), script); got[0] != want+"\nfirst-boot-last.service" {
		t.Errorf("after six boots: %s", got[0])
	}
	o.Image = o.Keep
	if got := clone(t, next(), script); got[0] != want {
		t.Errorf("after seven boots: %s", got[0])
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
