//go:build root

package hostile

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/test/fault"
)

// asVDA runs a command in a mount namespace whose /dev/vda1 and /dev/vda2 are two filesystems, mounted in $1. Nobody else
// sees them, and the disk of this machine, whatever it is called, has no node there.
const asVDA = `dir=$1 a=$2 b=$3; shift 3
mount -t tmpfs -o mode=755 dev "$dir/dev"
for n in null zero full random urandom tty loop-control fuse; do [ ! -e /dev/$n ] || cp -a /dev/$n "$dir/dev/"; done
for l in /dev/loop[0-9]*; do cp -a "$l" "$dir/dev/"; done
mkdir "$dir/dev/shm" "$dir/dev/pts"
cp -a "$a" "$dir/dev/vda1"; cp -a "$b" "$dir/dev/vda2"; cp -a "$a" "$dir/dev/vda"
mount --bind "$dir/dev" /dev
mount /dev/vda1 "$dir/efi"; mount /dev/vda2 "$dir/system"
[ "$(findmnt -no SOURCE "$dir/efi") $(findmnt -no SOURCE "$dir/system")" = "/dev/vda1 /dev/vda2" ]
exec "$@"`

// TestNamesOfTheHostsDisk has runs on a host that has mounted filesystems of the names that the image's disk has for
// programs: /dev/vda1 and /dev/vda2. Nothing is refused for that, and theirs are as before.
func TestNamesOfTheHostsDisk(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("FULL=1 only: it makes whole systems")
	}
	dir, loops := t.TempDir(), []string{}
	for _, d := range []string{"dev", "efi", "system"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"first", "second"} {
		file := filepath.Join(dir, name)
		out, err := exec.Command("sh", "-ec", `truncate -s 64M "$1"; mkfs.ext4 -q "$1"; losetup -f --show "$1"`, "sh", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		loop := strings.TrimSpace(string(out))
		t.Cleanup(func() { _ = exec.Command("losetup", "-d", loop).Run() })
		loops = append(loops, loop)
	}
	for _, name := range []string{"packages, apt", "repartition", "ISO", "ISO as base"} {
		k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.Name == name })]
		t.Run(name, func(t *testing.T) {
			if k.base != nil {
				k.Base = k.base(t)
			}
			lane := fault.NewLane(t, k.Scenario)
			lane.Wrap = append([]string{"unshare", "--mount", "sh", "-ec", asVDA, "sh", dir}, loops...)
			run, err := lane.Measure(runLimit)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := lane.Complete(); err != nil || n != len(lane.Outputs()) {
				t.Errorf("%d outputs, %v", n, err)
			}
			t.Logf("%.0f s", run.Total.Seconds())
			for _, l := range loops {
				if out, err := exec.Command("e2fsck", "-fn", l).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", l, err, out)
				}
			}
		})
	}
}
