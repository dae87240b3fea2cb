package system

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestSysctl(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := featuretest.Tree(t, map[string]string{
		"usr/lib/systemd/systemd-sysctl": "", "etc/sysctl.d/99-sysctl.conf": "net.ipv4.ip_forward=0\n",
		"usr/lib/sysctl.d/zz-vendor.conf": "# kernel.panic = 1\n; kernel.panic=2\n-net/ipv4/tcp_syncookies = 0\nkernel.panic_on_oops=1\n",
	})
	if got := (SetSysctl{Sysctl{"net.ipv4.ip_forward": "1", "kernel.panic": "10"}}).Check(ctx, m); len(got) != 0 {
		t.Errorf("refused: %+v", got)
	}
	late := SetSysctl{Sysctl{"net.ipv4.tcp_syncookies": "1"}}
	if got := late.Check(ctx, m); len(got) != 1 || !strings.Contains(got[0].Text, "zz-vendor.conf") {
		t.Errorf("a file that wins is not found: %+v", got)
	}
	if got := late.Check(ctx, featuretest.Tree(t, map[string]string{"etc/x": ""})); len(got) != 1 || !got[0].Later {
		t.Errorf("an image that reads no such file: %+v", got)
	}
	for _, p := range []Sysctl{{"kernel.panic": "10", "net.ipv4.ip_forward": "1"}, {"kernel/panic": "20"}} {
		if err := (SetSysctl{p}).Run(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	const want = "net.ipv4.ip_forward = 1\nkernel/panic = 20\n"
	if text, err := m.Root.ReadFile(sysctlConf); err != nil || string(text) != want {
		t.Errorf("wrote %q, %v; want %q", text, err, want)
	}
}

func TestSysctlNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "net/ipv4/conf/eth0.100/forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"net.ipv4.conf.eth0/100.forwarding": "net/ipv4/conf/eth0.100/forwarding",
	} {
		if got := sysctlFile(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", "kernel", "kernel.", "a b.c", "kernel.panic=1", "../x"} {
		if sysctlName.MatchString(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}
