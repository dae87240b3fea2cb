package system

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

// TestNothingKeepsAModuleFromBeingLoaded tries the ways in which images deny modules.
func TestNothingKeepsAModuleFromBeingLoaded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text, want string }{
		"blacklist":        {"etc/modprobe.d/deny.conf", "blacklist usb_storage\nblacklist other\n", "blacklist other\n"},
		"other letter":     {"etc/modprobe.d/deny.conf", "blacklist usb-storage\n", ""},
		"install":          {"etc/modprobe.d/deny.conf", "install usb-storage /bin/false\noptions usb-storage a=1\n", "options usb-storage a=1\n"},
		"install, true":    {"etc/modprobe.d/deny.conf", "install\tusb_storage  /usr/bin/true\n", ""},
		"install, shell":   {"etc/modprobe.d/deny.conf", "install usb_storage :\ninstall usb_storage exit 1\n", ""},
		"two lines":        {"etc/modprobe.d/deny.conf", "install usb_storage \\\n  /bin/false\nblacklist x\n", "blacklist x\n"},
		"of a package":     {"usr/lib/modprobe.d/dist.conf", "# dist\nblacklist usb_storage\nblacklist x\n", "# dist\nblacklist x\n"},
		"ours":             {"etc/modprobe.d/modules-disabled.conf", "blacklist usb-storage\n", ""},
		"a real command":   {"etc/modprobe.d/deny.conf", "install usb_storage /sbin/modprobe --ignore-install usb_storage\n", "install usb_storage /sbin/modprobe --ignore-install usb_storage\n"},
		"another module":   {"etc/modprobe.d/deny.conf", "blacklist usb_storage2\n", "blacklist usb_storage2\n"},
		"not read":         {"etc/modprobe.d/deny.txt", "blacklist usb_storage\n", "blacklist usb_storage\n"},
		"no line break":    {"etc/modprobe.d/deny.conf", "blacklist x\nblacklist usb_storage", "blacklist x\n"},
		"a comment of one": {"etc/modprobe.d/deny.conf", "# blacklist usb_storage\n", "# blacklist usb_storage\n"},
	} {
		for _, mode := range []string{"always", "auto"} {
			m := featuretest.Tree(t, map[string]string{c.file: c.text})
			featuretest.MustRun(t, m, SetModule{Module: "usb-storage", LoadMode: mode})
			file := "/" + c.file
			if strings.HasPrefix(c.file, "usr/") {
				if featuretest.Read(t, m, file) != c.text {
					t.Errorf("%s: the package's file was changed", name)
				}
				file = "/etc/modprobe.d/dist.conf"
			}
			if got := featuretest.Read(t, m, file); got != c.want {
				t.Errorf("%s, %s: %q, want %q", name, mode, got, c.want)
			}
		}
	}
}

func TestModulesAreLookedForWhenPlanning(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"boot/vmlinuz-6.1": "", "usr/lib/modules/6.1/modules.dep": "kernel/drivers/usb/storage/usb-storage.ko.xz: kernel/x.ko.xz\nkernel/net/br_netfilter.ko:\n",
		"usr/lib/modules/6.1/modules.builtin": "kernel/fs/ext4/ext4.ko\n", "sbin/modprobe": "", "usr/lib/systemd/systemd-modules-load": "",
		"usr/lib/modprobe.d/a.conf": "blacklist br_netfilter\n",
	})
	featuretest.Executable(t, m, "/sbin/modprobe")
	if err := m.Root.Symlink("usr/lib", "/lib"); err != nil {
		t.Fatal(err)
	}
	bare := featuretest.Tree(t, map[string]string{"etc/x": ""})
	options := map[string]string{"a": "1"}
	for _, c := range []struct {
		step SetModule
		want string // of the text and hint; "" for none
	}{
		{SetModule{Module: "usb_storage", LoadMode: "always"}, ""}, {SetModule{Module: "ext4", LoadMode: "auto"}, ""},
		{SetModule{Module: "br-netfilter", LoadMode: "always"}, ""}, {SetModule{Module: "cramfs", LoadMode: "disable"}, ""},
		{SetModule{Module: "usb_strage", LoadMode: "always"}, `no kernel of the image has a module usb_strage; did you mean "usb-storage"?`},
		{SetModule{Module: "zfs", LoadMode: "auto"}, "no kernel of the image has a module zfs; install"},
		{SetModule{Module: "br-netfilter", Options: options}, "has options but is disabled in the image by /usr/lib/modprobe.d/a.conf"},
		{SetModule{Module: "br-netfilter", LoadMode: "auto", Options: options}, ""},
		{SetModule{Module: "ext4", LoadMode: "always", Args: []string{"quiet", "module_blacklist=x,ext4"}}, "the kernel argument module_blacklist=x,ext4"},
		{SetModule{Module: "usb-storage", LoadMode: "auto", Args: []string{"modprobe.blacklist=usb_storage"}}, "the kernel argument modprobe.blacklist"},
		{SetModule{Module: "usb-storage", LoadMode: "disable", Args: []string{"modprobe.blacklist=usb_storage"}}, ""},
	} {
		got := c.step.Check(context.Background(), m)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Text+"; "+got[0].Hint, c.want)) {
			t.Errorf("%+v: %v, want %q", c.step, got, c.want)
		}
	}
	for _, mode := range []string{"always", "auto", "disable"} {
		if got := (SetModule{Module: "dummy", LoadMode: mode}).Check(context.Background(), bare); len(got) != 1 || !strings.Contains(got[0].Text, "nothing") || !got[0].Later {
			t.Errorf("%s where nothing reads it: %v", mode, got)
		}
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"etc/modules-load.d/modules-load.conf": "ab\nb\n",
		"etc/modprobe.d/modules-disabled.conf": "blacklist a\nblacklist abc\n",
		"etc/modprobe.d/module-options.conf":   "options a flag x=1 y=2\noptions ab z=3\n",
	})
	featuretest.MustRun(t, m, SetModule{Module: "a", LoadMode: "always", Options: map[string]string{"x": "9"}}, SetModule{Module: "b", LoadMode: "disable"}, SetModule{Module: "c", LoadMode: "inherit"}, SetModule{Module: "abc", LoadMode: "auto"})
	for name, want := range map[string]string{
		loadFile: "ab\na\n", disableFile: "blacklist b\n", optionsFile: "options ab z=3\noptions a flag x=9 y=2\n",
	} {
		if got := featuretest.Read(t, m, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if p := (SetModule{Module: "b", LoadMode: "inherit", Options: map[string]string{"x": "1"}}).Check(context.Background(), m); len(p) != 2 { // and no modprobe
		t.Errorf("options for a disabled module: %v", p)
	}
}
