package rpm

import (
	"errors"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

func TestVersionsAreComparedAsRPMDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0}, {"1.0", "2.0", -1}, {"2.0.1", "2.0", 1}, {"2.0.1a", "2.0.1", 1}, {"5.5p1", "5.5p10", -1},
		{"10xyz", "10.1xyz", -1}, {"xyz10", "xyz10.1", -1}, {"xyz.4", "8", -1}, {"5.5p2", "5.6p1", -1}, {"10.0001", "10.1", 0},
		{"1.0~rc1", "1.0", -1}, {"1.0~rc1", "1.0~rc2", -1}, {"1.0~rc1~git1", "1.0~rc1", -1}, {"1.0^", "1.0", 1},
		{"1.0^git1", "1.01", -1}, {"1.0^20", "1.0.1", -1}, {"1.0~rc1^git1", "1.0~rc1", 1}, {"1.0^git1~pre", "1.0^git1", -1},
		{"20101121", "20101122", -1}, {"1_0", "1.0", 0}, {"a", "1", -1}, {"0:1", "0:1", 0}, {"", "1", -1},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%q against %q: %d", c.a, c.b, got)
		}
		if got := compareVersions(c.b, c.a); got != -c.want {
			t.Errorf("%q against %q: %d", c.b, c.a, got)
		}
	}
}

// database is what rpm -qa prints: a package with an epoch, two kernels, and one that took another's place.
const database = `N	demo	2	1.0	3.azl3	x86_64
P	demo	2:1.0-3.azl3
P	config(demo)	2:1.0-3.azl3
P	webserver	2.4
P	/bin/demo
O	olddemo
N	demo-libs	0	1.0	3.azl3	noarch
P	demo-libs	1.0-3.azl3
N	kernel	0	6.1	1	x86_64
P	kernel	6.1-1
N	kernel	0	6.12	1	x86_64
P	kernel	6.12-1
`

func lookIn(names ...string) []found {
	wishes := parseWishes(names)
	all := make([]found, len(wishes))
	read := databaseReader(wishes, all, wish.names)
	for line := range strings.Lines(database) {
		read(strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return all
}

func TestWishes(t *testing.T) {
	t.Parallel()
	const demo = "demo-2:1.0-3.azl3.x86_64"
	for text, want := range map[string]string{
		"demo": demo, "demo.x86_64": demo, "demo-1.0": demo, "demo-1.0-3.azl3": demo, "demo-2:1.0-3.azl3": demo,
		"2:demo-1.0-3.azl3": demo, "demo-1.0-3.azl3.x86_64": demo, demo: demo, "demo=1.0": "", "demo=2:1.0": demo,
		"demo=2:1.0-3.azl3": demo, "demo>=2:0.9": demo, "demo<2:1.0": "", "demo=1.1": "", "demo.noarch": "", "demo-1": "",
		"demo-*": demo + " demo-libs-1.0-3.azl3.noarch", "demo-l*": "demo-libs-1.0-3.azl3.noarch", "d?mo": demo, "[dk]emo": demo,
		"webserver": demo, "webserver>=2": demo, "webserver=2.4": demo, "webserver>2.4": "", "config(demo)": demo, "/bin/demo": demo, "web*": demo,
		"olddemo": "obsoleted", "old*": "", "demolibs": "", "kernel": "kernel-6.1-1.x86_64 kernel-6.12-1.x86_64", "kernel-6.12": "kernel-6.12-1.x86_64",
	} {
		f := lookIn(text)[0]
		var got []string
		for _, p := range f.packages() {
			got = append(got, p.String())
		}
		if f.obsoleting && len(got) == 0 {
			got = []string{"obsoleted"}
		}
		if strings.Join(got, " ") != want || f.there() != (want != "") {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"demo=1.0": "demo-1.0", "demo==1.0-2": "demo-1.0-2", "demo": "demo", "a>=1": "a>=1", "@x": "@x"} {
		if got := parseWish(text).argument(); got != want {
			t.Errorf("%s is given as %s", text, got)
		}
	}
	for text, want := range map[string]bool{"demo=9": true, "demo-9": true, "demo": true, "nodemo": false, "demo*": true, "x=1": false} {
		if got := parseWish(text).nearly(nevra{"demo", "noarch", evr{"0", "1", "1"}}); got != want {
			t.Errorf("%s in another version: %v", text, got)
		}
	}
}

// TestOutputOfTheManagers has lines as the managers print them.
func TestOutputOfTheManagers(t *testing.T) {
	t.Parallel()
	f := &machine.Facts{Filesystems: []machine.Filesystem{{MountPoint: "/"}, {MountPoint: "/var"}}}
	for _, c := range []struct {
		line string
		want string
	}{
		{"warning: %post(x-1.0-1.noarch) scriptlet failed, exit status 3", "script failed"},
		{"error: %prein(x-1-1.noarch) scriptlet failed, signal 9", "script failed"},
		{"package x-1.0-1.noarch: script warning in %postin", "script failed"},
		{"package x-1.0-1.noarch: script error in %prein", "script failed"},
		{`error: lua script failed: [string "%post(x-1-1.noarch)"]:1: oops`, "script failed"},
		{"  Error in POSTTRANS scriptlet in rpm package x", "script failed"},
		{">>> Non-critical error in post-install scriptlet: x-0:1.0-1.noarch", "script failed"},
		{"warning: %triggerin(x-1-1.noarch) scriptlet failed, exit status 1", "script failed"},
		{"Disabling Repo: 'azurelinux-official-base'", "left out"},
		{"Ignoring repositories: base", "left out"},
		{"Error: Failed to synchronize cache for repo 'x' from 'y'", "left out"},
		{"Installing/Updating: script-error-1.0", ""},
	} {
		var o rpmOutput
		o.line(c.line)
		err := o.err(f, nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), strings.TrimSpace(c.line))) {
			t.Errorf("%s: %v", c.line, err)
		}
	}
	for line, want := range map[string]uint64{
		"installing package big-1-1.noarch needs 442MB more space on the / filesystem":    443 << 20,
		"  - installing package big-1-1.noarch needs 12KB more space on the / filesystem": 13 << 10,
		"   At least 2GB more space needed on the / filesystem.":                          3 << 30,
		"installing package big-1-1.noarch needs 9 more inodes on the / filesystem":       10 * perInode,
		"installing package big-1-1.noarch needs 442MB more space on the /var filesystem": 0,
	} {
		var o rpmOutput
		o.line(line)
		full, is := errors.AsType[*pkgmgr.NoRoom](o.err(f, errors.New("it failed")))
		if is != (want > 0) || is && full.Missing != want {
			t.Errorf("%s: %+v", line, full)
		}
	}
}
