package system

import "testing"

// TestRenameHost: the lines of the machine's own addresses follow its name, all others stay as they are.
func TestRenameHost(t *testing.T) {
	t.Parallel()
	const local = "127.0.0.1\tlocalhost\n::1     localhost ip6-localhost ip6-loopback\n"
	for _, c := range []struct{ hosts, old, name, want string }{
		{local + "127.0.1.1\told\n", "old", "web-1", local + "127.0.1.1\tweb-1\n"},
		{local + "127.0.1.1 old.example.org old # mine\n", "old", "web-1", local + "127.0.1.1\tweb-1.example.org web-1\t# mine\n"},
		{"127.0.1.1 old.example.org old\n", "old.example.org", "db.lan", "127.0.1.1\tdb.lan db\n"},
		{"127.0.1.1 old.example.org old\n", "old", "db.lan", "127.0.1.1\tdb.lan db\n"},
		{"127.0.0.1 localhost old\n10.0.0.9 old gateway\n#127.0.1.1 old\n", "old", "new", "127.0.0.1\tlocalhost new\n10.0.0.9 old gateway\n#127.0.1.1 old\n"},
		{"127.0.1.1   older  oldest\n", "old", "new", "127.0.1.1   older  oldest\n"},
		{"::1 old", "old", "new", "::1\tnew\n"},
		{local, "localhost", "new", local},
		{local + "127.0.1.1 x\n", "", "new", local + "127.0.1.1 x\n"},
		{"127.0.1.1 old old.lan\n", "old.lan", "new", "127.0.1.1\tnew\n"},
	} {
		if got := renameHost(c.hosts, c.old, c.name); got != c.want {
			t.Errorf("%q with %s for %s: %q, want %q", c.hosts, c.name, c.old, got, c.want)
		}
	}
}
