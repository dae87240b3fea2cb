//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// signingKey makes a key and a certificate, in a directory of the test: db.key and db.pem.
func signingKey(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	sh(t, dir, `openssl req -x509 -newkey rsa:2048 -nodes -keyout db.key -out db.pem -days 3650 -subj "/CN=Test of image signing" 2>&1`)
	return dir
}

// artifactsOf customizes an image and returns it and the directory of its artifacts.
func artifactsOf(t *testing.T, name, format, items string) (image, dir string) {
	t.Helper()
	tmp := t.TempDir()
	image, dir = filepath.Join(tmp, "image."+format), filepath.Join(tmp, "artifacts")
	customize(t, base(t, name), "os: {hostname: signed}\noutput: {artifacts: {path: "+dir+", items: "+items+"}}\npreviewFeatures: [output-artifacts]\n", image, format)
	return image, dir
}

// TestArtifacts goes the way of the reference's documentation on each boot scheme: artifacts are written, signed by
// hand with sbsign, and put back. The image keeps its format, and has the signed programs wherever it had them.
func TestArtifacts(t *testing.T) {
	for name, x := range map[string]struct {
		format, items string
		files         map[string]string // of the ESP, by artifact
	}{
		"debian12-efi": {"vhd-fixed", "[shim, bootloader]", map[string]string{
			"shim/bootx64.efi":       "EFI/BOOT/bootx64.efi EFI/debian/shimx64.efi",
			"bootloader/grubx64.efi": "EFI/BOOT/grubx64.efi EFI/debian/grubx64.efi",
		}},
		"azl3":            {"vhdx", "[shim, bootloader]", map[string]string{"shim/bootx64.efi": "EFI/BOOT/bootx64.efi", "bootloader/grubx64.efi": "EFI/BOOT/grubx64.efi"}},
		"debian13-sdboot": {"raw", "[bootloader]", map[string]string{"bootloader/BOOTX64.EFI": "EFI/BOOT/BOOTX64.EFI EFI/systemd/systemd-bootx64.efi"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "debian13-sdboot" && os.Getenv("FULL") == "" {
				return
			}
			image, dir := artifactsOf(t, name, x.format, x.items)
			keys := signingKey(t)
			for file := range x.files {
				sh(t, dir, "sbsign --key "+keys+"/db.key --cert "+keys+"/db.pem --output "+file+" "+file+" 2>&1")
			}
			if status, out := run(t, "inject-files", "--config-file", filepath.Join(dir, "inject-files.yaml"), "--image-file", image); status != 0 {
				t.Fatalf("exit %d\n%s", status, out)
			}
			checkFormat(t, image, x.format)
			raw := filepath.Join(t.TempDir(), "image.raw")
			if status, out := run(t, "convert", "--image-file", image, "--output-image-file", raw); status != 0 {
				t.Fatalf("exit %d\n%s", status, out)
			}
			for file, places := range x.files {
				for _, place := range strings.Fields(places) {
					got := filepath.Join(t.TempDir(), "got.efi")
					sh(t, dir, "MTOOLS_SKIP_CHECK=1 mcopy -n -i "+fixture.ESP(t, raw)+" ::/"+place+" "+got)
					sh(t, dir, "cmp "+got+" "+file+" && sbverify --cert "+keys+"/db.pem "+got+" 2>&1")
				}
			}
		})
	}
}

// checkFormat fails where an image is of another format than it was.
func checkFormat(t *testing.T, image, format string) {
	t.Helper()
	switch format {
	case "vhd-fixed": // QEMU takes it for a raw disk; its footer says what it is
		got := sh(t, ".", "tail -c 512 "+image+" | head -c 64 | xxd -p | tr -d '\\n'")
		if !strings.HasPrefix(got, "636f6e6563746978") || got[120:128] != "00000002" {
			t.Errorf("the footer is %s", got)
		}
	default:
		sh(t, ".", "qemu-img info -U "+image+" | grep -qx 'file format: "+format+"'")
	}
}

// TestInjectFilesRefuses puts files where they do not belong: the image stays as it was, byte for byte, and all that is
// wrong is said, each at its place.
func TestInjectFilesRefuses(t *testing.T) {
	t.Parallel()
	image, dir := artifactsOf(t, "debian12-efi", "raw", "[shim, bootloader]")
	before := sh(t, dir, "stat -c '%i %Y %s' "+image)
	list, err := os.ReadFile(filepath.Join(dir, "inject-files.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.efi")
	sh(t, dir, "head -c 100000 bootloader/grubx64.efi > "+cut+"; truncate -s 300M large.efi; dd if=shim/bootx64.efi of=large.efi conv=notrunc 2>&1")
	for name, x := range map[string]struct {
		change []string
		want   []string
	}{
		"other partition": {[]string{"id: ", "id: 0"}, []string{"is no UUID of a partition"}},
		"all at once": {
			[]string{"part-uuid\n", "part-label\n", "./bootloader/grubx64.efi", cut, "type: shim", "type: ukis"},
			[]string{"no partition of the image is PARTLABEL=", "is no unified kernel image"},
		},
		"a directory": {[]string{"/EFI/BOOT/bootx64.efi", "/EFI/BOOT"}, []string{"it is a directory in the image"}},
		"too large":   {[]string{"./shim/bootx64.efi", "./large.efi"}, []string{"KiB free"}},
		"not there":   {[]string{"./shim/bootx64.efi", "./shim/other.efi"}, []string{"cannot read ./shim/other.efi"}},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(dir, "bad.yaml")
			if err := os.WriteFile(bad, []byte(strings.NewReplacer(x.change...).Replace(string(list))), 0o644); err != nil {
				t.Fatal(err)
			}
			status, out := run(t, "inject-files", "--config-file", bad, "--image-file", image)
			if status == 0 {
				t.Errorf("it succeeded\n%s", out)
			}
			for _, w := range x.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not said:\n%s", w, out)
				}
			}
			if now := sh(t, dir, "stat -c '%i %Y %s' "+image); now != before {
				t.Errorf("the image changed: %s, before %s", now, before)
			}
		})
	}
}

// TestArtifactsThatAreNotThere finds when planning what an image lacks.
func TestArtifactsThatAreNotThere(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "output: {artifacts: {path: out, items: [shim, ukis]}}\n")
	lacks := map[string]string{"debian12-efi": "no unified kernel image"}
	if os.Getenv("FULL") != "" {
		lacks = map[string]string{"debian13-sdboot": "which is no shim", "debian12-bios": "no EFI system partition"}
	}
	for name, want := range lacks {
		status, out := run(t, "--image-file", base(t, name), "--config-file", config, "--dry-run")
		if status != 3 || !strings.Contains(out, want) || !strings.Contains(out, "config.yaml:1:") {
			t.Errorf("%s: exit %d\n%s", name, status, out)
		}
	}
}
