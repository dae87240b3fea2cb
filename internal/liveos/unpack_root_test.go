//go:build root

package liveos

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/seed"
	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) { os.Exit(rootns.Main(m.Run)) }

// TestUnpackNeedsASystem shows that a damaged root filesystem and a full-os medium are refused, and
// leave no loop device behind.
func TestUnpackNeedsASystem(t *testing.T) {
	for want, damage := range map[string]func(dir string) error{
		"unpack the root filesystem": nil, // a superblock and nothing behind it
		"from where it cannot be unpacked": func(dir string) error {
			saved := `{"grubConfig": "/boot/grub/grub.cfg", "initramfsType": "full-os"}`
			return os.WriteFile(filepath.Join(dir, savedConfig), []byte(saved), 0o644)
		},
	} {
		medium := small(t, damage)
		file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Unpack(context.Background(), medium, file, t.TempDir(), seed.New("test").UUID)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if loops, _ := exec.Command("losetup", "--associated", file.Name()).Output(); len(loops) > 0 {
			t.Errorf("left %s", loops)
		}
		file.Close()
	}
}
