//go:build root

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestInitramfsIsAsIfUndisturbed rebuilds an initramfs from a package's script, where compression is
// put off, and from a script of the user's, where nothing is. Both must have the same content in the
// same format.
func TestInitramfsIsAsIfUndisturbed(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{"debian12-efi": "dracut --force --regenerate-all", "debian12-bios": "update-initramfs -u -k all"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			image := base(t, name)
			plain, ours := filepath.Join(dir, "plain.raw"), filepath.Join(dir, "ours.raw")
			start := time.Now()
			customize(t, image, "scripts:\n  postCustomization:\n  - content: "+command+"\n    environmentVariables: {PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: /root}\n", plain, "raw")
			undisturbed := time.Since(start)
			source := deb(t, dir+"/debs", "fixture-trigger", "1.0", command)
			start = time.Now()
			customize(t, image, "os:\n  packages:\n    install: [fixture-trigger]\n", ours, "raw", "--deb-source", source, "--disable-base-image-rpm-repos")
			t.Logf("whole run: %v undisturbed, %v with compression put off", undisturbed, time.Since(start))
			want, got := readInitramfs(t, plain, dir), readInitramfs(t, ours, dir)
			if before := readInitramfs(t, image, dir); before.sum == got.sum {
				t.Error("the initramfs was not rebuilt")
			}
			if want.format != got.format {
				t.Errorf("format %s, undisturbed it is %s", got.format, want.format)
			}
			if d := cmp.Diff(want.members, got.members); d != "" || len(got.members) < 100 {
				t.Errorf("%d members, undisturbed and ours differ:\n%s", len(got.members), d)
			}
			for _, left := range []string{"/etc/dracut.conf.d/zz-imagecustomizer.conf", "/etc/initramfs-tools/conf.d/zz-imagecustomizer"} {
				if exists(t, ours, left) {
					t.Errorf("%s stayed in the image", left)
				}
			}
		})
	}
}

// initramfs is an initramfs image, taken apart with independent tools.
type initramfs struct {
	format  string
	members []string // mode, owner, device and name of each, sorted
	sum     string
}

var imageName = regexp.MustCompile(`initrd\.img-[^ ]+-amd64`)

func readInitramfs(t *testing.T, disk, dir string) (i initramfs) {
	t.Helper()
	fs := fmt.Sprintf("%s?offset=%d", disk, rootOffset(t, disk))
	list, err := exec.Command("debugfs", "-R", "ls /boot", fs).Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "initramfs")
	if err := exec.Command("debugfs", "-R", "dump /boot/"+imageName.FindString(string(list))+" "+file, fs).Run(); err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile(file)
	if err != nil || len(head) < 4 {
		t.Fatalf("no initramfs: %v", err)
	}
	i.format, i.sum = map[string]string{"\x1f\x8b": "gzip", "\x28\xb5": "zstd"}[string(head[:2])], sum(t, file)
	out, err := exec.Command("sh", "-c", i.format+" -dc "+file+" | cpio -itvn --quiet | awk '{ print $1, $3, $4, ($1 ~ /^[bc]/ ? $5 $6 : \"\"), $NF }' | LC_ALL=C sort").Output()
	if err != nil {
		t.Fatal(err)
	}
	i.members = strings.Split(strings.TrimSpace(string(out)), "\n")
	return i
}
