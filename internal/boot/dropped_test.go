package boot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDroppedArguments(t *testing.T) {
	t.Parallel()
	for before, c := range map[string][2]string{
		"BOOT_IMAGE=/vmlinuz root=UUID=a ro quiet console=ttyS0 rootflags=subvol=@": {"root=UUID=b ro console=ttyS0", "quiet"},
		"root=/dev/mapper/root roothash=12 systemd.verity_root_data=x rodata=off":   {"root=UUID=b", "rodata=off"},
		"console=ttyS0 console=tty0 console=tty0 net.ifnames=0":                     {"console=ttyS0 net.ifnames=1", "console=tty0 net.ifnames=0"},
		"": {"quiet", ""},
	} {
		if d := cmp.Diff(c[1], strings.Join(Dropped(strings.Fields(before), strings.Fields(c[0])), " ")); d != "" {
			t.Error(d)
		}
	}
}
