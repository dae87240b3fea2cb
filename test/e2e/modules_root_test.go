//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// deny is what hardening guides put into images; a package owns the third file.
const deny = `
scripts:
  postCustomization:
  - content: |
      printf 'install nf-conntrack /bin/false\nblacklist nf-conntrack\noptions nf-conntrack acct=1\n' > /etc/modprobe.d/nf_conntrack.conf
      echo 'blacklist br_netfilter' > /etc/modprobe.d/modules-disabled.conf
      printf '# dist\nblacklist dummy\n' > /usr/lib/modprobe.d/dist.conf
`

// TestModulesThatTheImageDenies has an image deny modules in three ways and then loads them; the image's own
// modprobe says whether they are.
func TestModulesThatTheImageDenies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	denied, out := filepath.Join(dir, "denied.raw"), filepath.Join(dir, "out.raw")
	customize(t, base(t, "debian12-efi"), deny, denied, "raw")
	const load = `
os:
  modules:
  - {name: nf_conntrack, loadMode: always}
  - {name: br-netfilter, loadMode: auto}
  - {name: dummy, loadMode: always}
scripts:
  postCustomization:
  - content: 'PATH=/usr/sbin:/usr/bin:/sbin:/bin; k=$(ls /lib/modules); for m in nf-conntrack br_netfilter dummy; do modprobe -n -v -b -S $k $m; done > /etc/e2e-modules 2>&1'
`
	customize(t, denied, load, out, "raw")
	said := readFile(t, out, "/etc/e2e-modules")
	for _, want := range []string{"nf_conntrack.ko", "br_netfilter.ko", "dummy.ko"} {
		if !strings.Contains(said, want) {
			t.Errorf("modprobe would not load %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, "/bin/false") || readFile(t, out, "/usr/lib/modprobe.d/dist.conf") != "# dist\nblacklist dummy\n" {
		t.Errorf("still denied, or a package's file was changed:\n%s", said)
	}
}

// TestFilesThatARealImageWouldNotKeep follows the links of the image.
func TestFilesThatARealImageWouldNotKeep(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, `
os:
  additionalFiles:
  - {content: b, destination: /etc/os-release/x}
  - {content: c, destination: /etc}
  modules: [{name: br-netfiltr, loadMode: always}]
  overlays: [{mountPoint: /etc, lowerDirs: [/etc], upperDir: /var/o/u, workDir: /var/o/w, mountDependencies: [/vra]}]
scripts:
  postCustomization: [{content: x, interpreter: /bin/pyhton}]
`)
	status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", config, "--dry-run",
		"--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
	for _, want := range []string{
		"config.yaml:4:31: error: ", "/etc/os-release is no folder", "config.yaml:5:31: error: /etc is a folder",
		`did you mean "br_netfilter"?`, "which /etc/fstab does not mount", "no interpreter /bin/pyhton",
	} {
		if !strings.Contains(out, want) || status != 3 {
			t.Errorf("status %d, no %q in\n%s", status, want, out)
		}
	}
}
