package liveos

import (
	"errors"
	"path/filepath"
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
		"rootFilesystem": {Filesystem: Filesystem{"erofs", 9}},
	} {
		got := Lacks(withInitramfsTools(t, liveBootScript), s)
		if !slices.ContainsFunc(got, func(l Lack) bool { return l.Package == "dracut" && strings.Contains(l.What, what) }) {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestWhichStartsLiveSystems(t *testing.T) {
	t.Parallel()
	for without, want := range map[string]bool{"bin/dracut": true, "dmsquash-live": true, "nothing": false} {
		m := sample(t, without)
		for _, name := range []string{"/usr/sbin/mkinitramfs", liveBootScript} {
			if err := errors.Join(m.Root.MkdirAll(filepath.Dir(name), 0o755), m.Root.WriteFile(name, nil, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		if got := usesLiveBoot(m); got != want {
			t.Errorf("with live-boot, without %s: %v, want %v", without, got, want)
		}
	}
	if usesLiveBoot(sample(t, "dmsquash-live")) {
		t.Error("live-boot is used where there is none")
	}
}

func TestDownloadsOfLiveBoot(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"http://192.0.2.1/image.iso": "", "tftp://192.0.2.1/image.iso": "",
		"https://192.0.2.1/image.iso": "cannot download from https", "nfs://192.0.2.1/image.iso": "cannot download from nfs", "http://192.0.2.1/image": "end with .iso",
	} {
		got := Lacks(withInitramfsTools(t, liveBootScript, "/usr/bin/busybox"), Spec{Network: true, URL: address, Filesystem: Filesystem{"squashfs", 3}})
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].What, want)) {
			t.Errorf("%s: %v, want %q", address, got, want)
		}
	}
	got := Lacks(withInitramfsTools(t, liveBootScript), Spec{Network: true, URL: "http://192.0.2.1/image.iso", Filesystem: Filesystem{"squashfs", 3}})
	if len(got) != 1 || got[0].Package != "busybox" {
		t.Errorf("without busybox: %v", got)
	}
	st := &stage{m: withInitramfsTools(t, liveBootScript), spec: Spec{Network: true, URL: "http://192.0.2.1/image.iso"}}
	if got := strings.Join(st.args(), " "); got != "boot=live fetch=http://192.0.2.1/image.iso skipconfig ip=dhcp" {
		t.Error(got)
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
	m := readListing("medium", "File data lba:  0 ,    25782 ,    87368 , 178929664 , '/live/filesystem.squashfs'\n")
	if e, err := m.root(); err != nil || e != (extent{25782 * 2048, 178929664}) {
		t.Errorf("%v, %v", e, err)
	}
}
