//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestGRUBCoreFollowsItsModules: programs of an image cannot write to its disk, so that a package's own grub-install
// leaves new modules with an old core. The run then puts a core there that belongs to them.
func TestGRUBCoreFollowsItsModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := writeConfig(t, "scripts: {postCustomization: [{content: \"printf x >> /boot/grub/i386-pc/all_video.mod; grub-install /dev/vda || test $? = 1\"}]}\n")
	status, out := run(t, "--build-dir", dir, "--image-file", base(t, "debian12-bios"), "--config-file", config, "--output", "raw="+filepath.Join(dir, "out.raw"))
	if status != 0 || !strings.Contains(out, "its core is made anew") {
		t.Errorf("exit %d\n%s", status, out)
	}
}
