package boot

import (
	"strings"
	"testing"
)

// TestStale has menus that lag behind the kernels in /boot, and some that do not.
func TestStale(t *testing.T) {
	t.Parallel()
	kernel := func(version, initramfs string) Kernel {
		return Kernel{Version: version, Image: "/boot/vmlinuz-" + version, Initramfs: initramfs}
	}
	entry := func(kernel string, initrds ...string) Entry {
		e := Entry{Kernel: Ref{Place: Place{Path: kernel}}}
		for _, i := range initrds {
			e.Initrds = append(e.Initrds, Ref{Place: Place{Path: i}})
		}
		return e
	}
	for name, c := range map[string]struct {
		kernels []Kernel
		entries []Entry
		want    string
	}{
		"as it should be":             {[]Kernel{kernel("1", "/boot/initrd.img-1")}, []Entry{entry("/boot/vmlinuz-1", "/boot/initrd.img-1")}, ""},
		"a /boot of its own":          {[]Kernel{kernel("1", "/boot/initrd.img-1")}, []Entry{entry("/vmlinuz-1", "/ucode.img", "/initrd.img-1")}, ""},
		"a subvolume":                 {[]Kernel{kernel("1", "")}, []Entry{entry("/@/boot/vmlinuz-1")}, ""},
		"a new kernel":                {[]Kernel{kernel("1", ""), kernel("2", "")}, []Entry{entry("/vmlinuz-1")}, "no entry loads /boot/vmlinuz-2"},
		"a kernel that is gone":       {[]Kernel{kernel("2", "")}, []Entry{entry("/vmlinuz-1"), entry("/vmlinuz-2")}, "an entry loads vmlinuz-1, which is not there any more"},
		"an initramfs that came late": {[]Kernel{kernel("1", "/boot/initrd.img-1")}, []Entry{entry("/vmlinuz-1")}, "the entry of /boot/vmlinuz-1 does not load /boot/initrd.img-1"},
		"what is not in /boot":        {nil, []Entry{entry("/live/linux"), entry("/vmlinuz-0-rescue-abc")}, ""},
		"nothing":                     {nil, nil, ""},
	} {
		if got := (&Menu{Entries: c.entries}).Stale(c.kernels); got != c.want || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
