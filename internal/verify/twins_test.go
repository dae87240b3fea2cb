package verify

import (
	"context"
	"testing"

	"imagecustomizer/internal/rootfs"
)

func twinsOf(root *rootfs.Root) []Finding {
	found := newList("clones")
	twins(&system{Image: Image{Root: root}, effort: effort{ctx: context.Background()}}, found)
	return found.all()
}

// TestClonesThatWouldBeTwins: one warning for each kind of thing that clones would share, and none for what they make.
func TestClonesThatWouldBeTwins(t *testing.T) {
	t.Parallel()
	root := makeTree(t, map[string]string{
		"/etc/machine-id": "0123456789abcdef0123456789abcdef\n", "/etc/ssh/ssh_host_rsa_key": "k", "/etc/ssh/ssh_host_rsa_key.pub": "k", "/var/log/messages": "text",
	})
	var got []string
	for _, f := range twinsOf(root) {
		if !f.Warning || f.Hint == "" {
			t.Errorf("%s is no warning, or has no hint", f)
		}
		got = append(got, f.String())
	}
	want := []string{"/etc/machine-id: clones of this image would share the machine identifier", "/etc/ssh/ssh_host_rsa_key: clones of this image would share SSH host keys"}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"", "uninitialized\n"} {
		root := makeTree(t, map[string]string{"/etc/machine-id": text, "/var/lib/dbus/machine-id": "->/etc/machine-id"})
		if found := twinsOf(root); len(found) > 0 {
			t.Errorf("%q: %v", text, found)
		}
	}
}
