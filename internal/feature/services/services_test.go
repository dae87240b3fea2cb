package services

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

func TestServicesAreLookedForWhenPlanning(t *testing.T) {
	t.Parallel()
	systemd := featuretest.Tree(t, map[string]string{
		"usr/bin/systemctl": "", "usr/lib/systemd/system/ssh.service": "", "usr/lib/systemd/system/getty@.service": "",
		"usr/lib/systemd/system/fstrim.timer": "", "etc/init.d/old": "", "etc/systemd/system/x": "",
		"usr/lib/systemd/system/dbus-org.x.service": "",
	})
	featuretest.Executable(t, systemd, "/usr/bin/systemctl")
	if err := systemd.Root.Symlink("/dev/null", "/etc/systemd/system/gone.service"); err != nil {
		t.Fatal(err)
	}
	bare := featuretest.Tree(t, map[string]string{"etc/init.d/ssh": ""})
	text := ""
	files := feature.Supplied{Files: []feature.SuppliedFile{{Content: &text, Destination: "/etc/systemd/system//mine.service"}, {Content: &text, Destination: "/srv/other.service"}}}
	for _, c := range []struct {
		m          *machine.Machine
		unit       string
		enable     bool
		want, hint string // "" for none
	}{
		{systemd, "ssh", true, "", ""}, {systemd, "ssh.service", false, "", ""}, {systemd, "getty@tty1", true, "", ""},
		{systemd, "fstrim.timer", true, "", ""}, {systemd, "old", true, "", ""}, {systemd, "mine", true, "", ""},
		{systemd, "dbus-org.x", true, "", ""},
		{systemd, "other", true, "no service other", "install"},
		{systemd, "sshh", true, "no service sshh", `"ssh"`}, {systemd, "sshd", false, "no service sshd", `"ssh"`},
		{systemd, "fstrim", true, "no service fstrim", `"fstrim.timer"`},
		{systemd, "gone", true, "masked", "remove"}, {systemd, "gone", false, "", ""},
		{bare, "ssh", true, "no systemd", "own init"}, {bare, "ssh", false, "no systemd", "own init"},
	} {
		got := SetService{Unit: c.unit, Enable: c.enable, Path: "p", Files: files}.Check(context.Background(), c.m)
		if c.want == "" && len(got) > 0 {
			t.Errorf("%s: %v", c.unit, got)
		}
		if c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Text, c.want) || !strings.Contains(got[0].Hint, c.hint) || got[0].Path != "p" || !got[0].Later) {
			t.Errorf("%s: %+v, want %q (%q)", c.unit, got, c.want, c.hint)
		}
	}
}
