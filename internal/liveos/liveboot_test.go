package liveos

import (
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
)

// withInitramfsTools is the sample with initramfs-tools instead of dracut.
func withInitramfsTools(t *testing.T, more ...string) *machine.Machine {
	t.Helper()
	m := sample(t, "dracut", "dmsetup", "curl", "sfdisk")
	for _, name := range append(more, "/usr/sbin/mkinitramfs") {
		if err := m.Root.MkdirAll(name[:strings.LastIndex(name, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := m.Root.WriteFile(name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestInitramfsToolsNeedLiveBoot(t *testing.T) {
	t.Parallel()
	squashfs := Spec{Filesystem: Filesystem{"squashfs", 3}}
	if got := Lacks(withInitramfsTools(t), squashfs); len(got) != 1 || got[0].Package != "live-boot" {
		t.Errorf("without live-boot: %v", got)
	}
	if got := Lacks(withInitramfsTools(t, liveBootScript), squashfs); len(got) > 0 {
		t.Errorf("with live-boot: %v", got)
	}
	for what, s := range map[string]Spec{
		"persistence":    {Persistence: "p", Filesystem: squashfs.Filesystem},
		"bootstrap":      {Network: true, Filesystem: squashfs.Filesystem},
		"rootFilesystem": {Filesystem: Filesystem{"erofs", 9}},
	} {
		got := Lacks(withInitramfsTools(t, liveBootScript), s)
		if !slices.ContainsFunc(got, func(l Lack) bool { return l.Package == "dracut" && strings.Contains(l.What, what) }) {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestArgumentsOfLiveBoot(t *testing.T) {
	t.Parallel()
	st := &stage{m: withInitramfsTools(t, liveBootScript), spec: Spec{Args: []string{"own=1"}}}
	if got := strings.Join(st.args(), " "); got != "boot=live live-media=/dev/disk/by-label/CDROM skipconfig own=1" {
		t.Error(got)
	}
	if got := st.payloadPath(); got != "/live/filesystem.squashfs" {
		t.Error(got)
	}
	if at, size, err := findRoot("File data lba:  0 ,    25782 ,    87368 , 178929664 , '/live/filesystem.squashfs'\n"); err != nil || at != 25782*2048 || size != 178929664 {
		t.Errorf("%d, %d, %v", at, size, err)
	}
}
