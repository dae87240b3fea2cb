package distro

import (
	"slices"
	"testing"
)

// TestProbeGRUB has releases and kin of known distributions, and what is none of them.
func TestProbeGRUB(t *testing.T) {
	t.Parallel()
	debian := []string{"/usr/share/grub/default/grub", "/usr/sbin/grub-mkconfig"}
	for text, c := range map[string]struct {
		files, vendors []string
		stub           string // empty where nothing is known
	}{
		"ID=debian\nVERSION_ID=14":                        {debian, []string{"debian"}, "EFI/debian/grub.cfg"},
		"ID=linuxmint\nID_LIKE=\"ubuntu debian\"":         {debian, []string{"BOOT", "ubuntu"}, "EFI/ubuntu/grub.cfg"},
		"ID=kali\nID_LIKE=debian":                         {debian, []string{"BOOT", "kali"}, "EFI/kali/grub.cfg"},
		"ID=own\nID_LIKE=debian\nVERSION_ID=1":            {debian, nil, "EFI/debian/grub.cfg"},
		"ID=alma\nID_LIKE=\"rhel centos fedora\"":         {[]string{"/usr/sbin/grub2-mkconfig"}, []string{"BOOT", "almalinux"}, "EFI/almalinux/grub.cfg"},
		"ID=azurelinux\nVERSION_ID=4.0":                   {[]string{"/usr/sbin/grub2-mkconfig"}, nil, "boot/grub2/grub.cfg"},
		"ID=arch":                                         {[]string{"/usr/bin/grub-mkconfig"}, []string{"arch"}, ""},
		"ID=opensuse-leap\nID_LIKE=\"suse opensuse\"":     {[]string{"/usr/sbin/grub2-mkconfig"}, nil, ""},
		"ID=debian\nVERSION_ID=15\nVARIANT=\"no loader\"": {nil, []string{"debian"}, ""},
	} {
		g := ProbeGRUB(ParseOSRelease(text), func(name string) bool { return slices.Contains(c.files, name) }, c.vendors)
		if got := g != nil; got != (c.stub != "") || got && g.Stubs[0] != c.stub {
			t.Errorf("%q: got %+v, want %q", text, g, c.stub)
		}
	}
	if fedoraGRUB.Stubs[0] != "EFI/fedora/grub.cfg" {
		t.Error("what is known of Fedora was changed")
	}
}
