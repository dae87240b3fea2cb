package scripts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

// firstBootTree is an image with what first-boot scripts need.
func firstBootTree(t *testing.T, files map[string]string) *machine.Machine {
	t.Helper()
	all := map[string]string{
		"usr/bin/systemctl": "", "usr/bin/timeout": "", "bin/sh": "", "usr/lib/systemd/system/nginx.service": "[Unit]\nAfter=network.target\n",
		"usr/lib/systemd/system/multi-user.target": "", "usr/lib/systemd/system/early.service": "[Unit]\nDefaultDependencies=no\n",
		"usr/lib/systemd/system/sysinit.target": "[Unit]\nWants=udev.service\n", "usr/lib/systemd/system/udev.service": "", "usr/lib/systemd/system/a.socket": "",
	}
	for k, v := range files {
		all[k] = v
	}
	return featuretest.LinkedTree(t, all)
}

func firstBoot(t *testing.T, yaml string) AddFirstBoot {
	t.Helper()
	return AddFirstBoot{Scripts: featuretest.Parse[scriptsTest](t, "os: {firstBoot: "+yaml+"}").OS.FirstBoot}
}

func TestFirstBootUnits(t *testing.T) {
	t.Parallel()
	m := firstBootTree(t, map[string]string{firstBootDir[1:] + "/one/ended": "0\n"})
	featuretest.MustRun(t, m, firstBoot(t, `[{name: one, content: "secret\n", before: nginx, network: true, timeout: 60, arguments: ["it's", "$x"]},
		{name: two, content: b, after: nginx.service, onFailure: emergency, onInterrupt: skip}, {name: three, content: c, onFailure: poweroff}]`))
	const service = "\n[Service]\nType=oneshot\nRemainAfterExit=yes\nTimeoutStartSec=infinity\nStandardOutput=journal+console\nStandardError=journal+console\nExecStart=/bin/sh /usr/lib/imagecustomizer/first-boot "
	head := func(name string) string {
		dir := firstBootDir + "/" + name
		return "[Unit]\nDescription=First boot: " + name + "\nRequiresMountsFor=" + dir + "\nConditionPathExists=" + dir + "/script\n"
	}
	for name, want := range map[string]string{
		"one":   "Wants=network-online.target\nAfter=network-online.target\nBefore=nginx.service\n",
		"two":   "After=nginx.service first-boot-one.service\nOnFailure=emergency.target\nOnFailureJobMode=replace-irreversibly\n",
		"three": "After=first-boot-two.service\nFailureAction=poweroff\n",
	} {
		unit := "/etc/systemd/system/first-boot-" + name + ".service"
		if got := featuretest.Read(t, m, unit); got != head(name)+want+service+name+"\n" {
			t.Errorf("%s:\n%s", name, got)
		}
		if to, err := m.Root.Readlink("/etc/systemd/system/multi-user.target.wants/first-boot-" + name + ".service"); err != nil || !m.Root.Exists(unit) {
			t.Errorf("%s is not started: %q %v", name, to, err)
		}
	}
	if got := featuretest.Read(t, m, firstBootDir+"/one/settings"); got != "name='one'\ninterrupt='rerun'\nrun_script() { 'timeout' '-k' '10' '60' '/bin/sh' '"+firstBootDir+"/one/script' 'it'\\''s' '$x'; }\n" {
		t.Error(got)
	}
	for name, want := range map[string]string{"/one": "drwx------", "/one/script": "-rwx------", "/one/settings": "-rw-------"} {
		if fi, err := m.Root.Lstat(firstBootDir + name); err != nil || fi.Mode().String() != want {
			t.Errorf("%s: %v %v", name, fi.Mode(), err)
		}
	}
	if m.Root.Exists(firstBootDir + "/one/ended") {
		t.Error("a script of the base image that has ended keeps this one from running")
	}
}

func TestFirstBootIsRefused(t *testing.T) {
	t.Parallel()
	one := func(more string) string { return "[{name: a, content: x" + more + "}]" }
	for name, c := range map[string]struct{ yaml, file, text, want string }{
		"nothing wrong":         {one(", before: nginx, network: true"), "", "", ""},
		"no such unit":          {one(", before: ngimx"), "", "", `[0].before: the image has no unit ngimx (did you mean "nginx"?)`},
		"no such unit before":   {one(", after: nothere"), "", "", "[0].after: the image has no unit nothere"},
		"no interpreter":        {one(", interpreter: /usr/bin/python3"), "", "", "[0].interpreter: the image has no interpreter"},
		"before the basics":     {one(", before: udev"), "", "", "basic system"},
		"before early units":    {one(", before: early"), "", "", "basic system"},
		"before a socket":       {one(", before: a.socket"), "", "", "basic system"},
		"network before itself": {one(", before: systemd-n, network: true"), "usr/lib/systemd/system/network-online.target", "[Unit]\nWants=systemd-n.service\n", "the image has no unit"},
		"network's own unit":    {one(", before: networking, network: true"), "usr/lib/systemd/system/networking.service", "", "brings up the network"},
		"a volatile /var":       {one(""), "etc/fstab", "tmpfs /var tmpfs defaults 0 0\n", "empty at each boot"},
		"a read-only /var":      {one(""), "etc/fstab", "/dev/vda3 /var ext4 ro 0 0\n", "read-only"},
		"orders of the image":   {one(", before: nginx, after: late"), "usr/lib/systemd/system/late.service", "[Unit]\nAfter=nginx.service\n", "starts before late.service"},
	} {
		files := map[string]string{}
		if c.file != "" {
			files[c.file] = c.text
		}
		m := firstBootTree(t, files)
		var got string
		for _, p := range firstBoot(t, c.yaml).Check(context.Background(), m) {
			got += strings.TrimPrefix(p.Path, "os.firstBoot") + ": " + p.Text + " (" + p.Hint + ")\n"
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	bare := featuretest.Tree(t, map[string]string{"bin/sh": ""})
	if p := firstBoot(t, one("")).Check(context.Background(), bare); len(p) != 1 || !strings.Contains(p[0].Text, "no systemd") {
		t.Errorf("without systemd: %v", p)
	}
	g := &feature.Given{SealedRoot: true, Facts: &machine.Facts{Filesystems: []machine.Filesystem{{MountPoint: "/"}}}}
	if g.Unwritable("/var") == "" {
		t.Error("/var on a sealed root is written to")
	}
	g.Overlaid = []string{"/var"}
	if why := g.Unwritable("/var"); why != "" {
		t.Error(why)
	}
}

func TestFirstBootIsChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[scriptsTest](t, "firstBoot", map[string]string{
		"[{content: x}]":                                 "name is missing",
		"[{name: A b, content: x}]":                      "cannot be the name",
		"[{name: a}]":                                    "neither path nor content",
		"[{name: a, content: x, path: y}]":               "exclude each other",
		"[{name: a, content: x}, {name: a, content: y}]": "in this list twice",
		"[{name: a, content: x, timeout: -1}]":           "are no time",
		"[{name: a, content: x, onFailure: reboot}]":     `"reboot"`,
		"[{name: a, content: x, after: n}, {name: b, content: x, before: n.service}]": "before that waits for it",
		"[{name: a, content: x, after: n, before: n}]":                                "waits for it",
		"[{name: a, content: \"#!/usr/bin/perl\\n\"}]":                                "interpreter",
		"[{name: a, content: \"\"}]":                                                  "empty",
	})
}

// runner puts the runner and one script into a folder, with a line put behind line n of the runner, and returns how it is run.
func runner(t *testing.T, script, settings string) (dir string, run func(n int, line string) (status int, out string)) {
	t.Helper()
	dir = t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	put("x/script", script)
	put("x/settings", strings.ReplaceAll(settings, firstBootDir, dir))
	return dir, func(n int, line string) (int, string) {
		lines := strings.Split(strings.ReplaceAll(firstBootText, firstBootDir, dir), "\n")
		if n > 0 {
			lines[n-1] += "\n" + line
		}
		put("runner", strings.Join(lines, "\n"))
		c := exec.Command("/bin/sh", filepath.Join(dir, "runner"), "x")
		c.Env = []string{"PATH=/usr/bin:/bin", "LOG=" + filepath.Join(dir, "log")}
		out, _ := c.CombinedOutput() // the status is returned
		return c.ProcessState.ExitCode(), string(out)
	}
}

func text(t *testing.T, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

const logging = "echo begun $ATTEMPT >>$LOG\necho done $ATTEMPT >>$LOG\n"

// TestFirstBootCutAnywhere kills the runner behind each of its lines, as a loss of power would, and boots again until
// nothing is left to do: what had ended does not run again, and what had not does, once.
func TestFirstBootCutAnywhere(t *testing.T) {
	t.Parallel()
	x := FirstBootScript{Name: "x"}
	n := strings.Count(firstBootText, "\n")
	cuts := map[string]int{}
	for i := 3; i < n; i++ {
		if line := strings.Split(firstBootText, "\n")[i-1]; strings.HasSuffix(line, "{") || strings.HasPrefix(line, "#") || line == "run_script" {
			continue // the status of the script must stay; the next line is cut
		}
		dir, run := runner(t, logging, x.settings())
		run(i, "kill -9 $$")
		log, ended := text(t, dir, "log"), text(t, dir, "x/ended") != ""
		for range 3 { // further boots
			run(0, "")
		}
		got, want := text(t, dir, "log"), log
		if !ended {
			attempt := 1 + strings.Count(text(t, dir, "x/attempt"), "2")
			want += fmt.Sprintf("begun %d\ndone %d\n", attempt, attempt)
		}
		if got != want || text(t, dir, "x/ended") != "0\n" {
			t.Errorf("cut behind line %d (ended %v): %q, want %q", i, ended, got, want)
		}
		if text(t, dir, "x/script")+text(t, dir, "x/settings") != "" {
			t.Errorf("cut behind line %d: the script, or its arguments, are left", i)
		}
		cuts[fmt.Sprintf("%v %v", log != "", ended)]++
	}
	if cuts["false false"] == 0 || cuts["true false"] == 0 || cuts["true true"] == 0 {
		t.Errorf("not all kinds of cuts happened: %v", cuts)
	}
}

// TestFirstBootCutInTheScript cuts the script itself.
func TestFirstBootCutInTheScript(t *testing.T) {
	t.Parallel()
	const cut = "echo begun $ATTEMPT >>$LOG\n[ $ATTEMPT = 1 ] && { kill -9 $PPID; exit; }\necho done $ATTEMPT >>$LOG\n"
	for way, want := range map[OnInterrupt]string{"rerun": "begun 1\nbegun 2\ndone 2\n", "skip": "begun 1\n"} {
		dir, run := runner(t, cut, FirstBootScript{Name: "x", OnInterrupt: way}.settings())
		run(0, "")
		_, said := run(0, "")
		run(0, "")
		if got := text(t, dir, "log"); got != want {
			t.Errorf("%s: %q, want %q", way, got, want)
		}
		if way == "skip" && (!strings.Contains(said, "not run again") || text(t, dir, "x/ended") != "cut off\n") {
			t.Errorf("nobody is told: %q", said)
		}
	}
	dir, run := runner(t, "echo begun >>$LOG\nkill -9 $PPID\n", FirstBootScript{Name: "x"}.settings())
	for range 15 { // one that always reboots must not do so for ever
		run(0, "")
	}
	if n := strings.Count(text(t, dir, "log"), "begun"); n != 10 {
		t.Errorf("it ran %d times", n)
	}
}

// TestFirstBootStopped: the system stops the unit while the script runs, as a reboot does that the script asks for.
func TestFirstBootStopped(t *testing.T) {
	t.Parallel()
	dir, run := runner(t, "echo begun $ATTEMPT >>$LOG\nkill -TERM $PPID\n[ $ATTEMPT = 1 ] && kill -TERM $$\necho done >>$LOG\n", FirstBootScript{Name: "x"}.settings())
	if status, _ := run(0, ""); status != 0 || text(t, dir, "x/ended") != "" {
		t.Errorf("stopped: status %d, ended %q", status, text(t, dir, "x/ended"))
	}
	run(0, "")
	run(0, "")
	if got := text(t, dir, "log"); got != "begun 1\nbegun 2\ndone\n" || text(t, dir, "x/ended") != "0\n" {
		t.Errorf("%q %q", got, text(t, dir, "x/ended"))
	}
}

// TestFirstBootFailure: a script that fails, or takes too long, has ended.
func TestFirstBootFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script FirstBootScript
		text   string
		want   int
	}{
		"it fails": {FirstBootScript{Name: "x"}, "echo run >>$LOG\nexit 3\n", 3}, "it takes too long": {FirstBootScript{Name: "x", Timeout: 1}, "echo run >>$LOG\nsleep 60\n", 124},
		"its interpreter": {FirstBootScript{Name: "x", Interpreter: "/bin/cat"}, "shown", 0},
	} {
		dir, run := runner(t, c.text, c.script.settings())
		first, said := run(0, "")
		second, _ := exec.Command("test", "-e", filepath.Join(dir, "x/script")).CombinedOutput()
		if first != c.want || text(t, dir, "x/ended") != fmt.Sprintf("%d\n", c.want) || len(second) > 0 {
			t.Errorf("%s: status %d, ended %q: %s", name, first, text(t, dir, "x/ended"), said)
		}
		run(0, "")
		if n := strings.Count(text(t, dir, "log"), "run"); n > 1 {
			t.Errorf("%s: it ran %d times", name, n)
		}
	}
}
