package compose

import (
	"fmt"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/step"
)

// given are flags as they are given: NAME VALUE, with | between them.
func given(t *testing.T, line string) (flags []Flag) {
	t.Helper()
	for one := range strings.SplitSeq(line, " | ") {
		name, value, _ := strings.Cut(one, " ")
		found := false
		for _, f := range step.Flags() {
			if f.Name != name {
				continue
			}
			found = true
			said, err := f.Says(value)
			if err != nil {
				t.Fatal(err)
			}
			flags = append(flags, Flag{"--" + one, said})
		}
		if !found {
			t.Fatalf("no flag %s", name)
		}
	}
	return flags
}

// TestOrderOfFlags: a round ends where a run would do something before what was given earlier, and nowhere else.
func TestOrderOfFlags(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"install a | write /b=c | enable d | run-command e":    "install write enable run-command",
		"run-command a | install b":                            "run-command / install",
		"run-command a | hostname b | timezone c":              "run-command hostname timezone", // these are done once
		"hostname b | run-command a":                           "run-command hostname",
		"write /b=c | install a":                               "write / install",
		"install a | update | install b":                       "install update install",
		"install a | remove b":                                 "install / remove",
		"remove a | install b":                                 "remove install",
		"enable a | install b":                                 "enable install", // the unit comes with it
		"user a | write /home/a/b=c":                           "user write",
		"write /home/a/b=c | user a":                           "write user",
		"run-command a | user b":                               "run-command / user",
		"mkdir /a | write /a/b=c | delete /a/b | write /a/b=d": "mkdir write delete / write",
		"delete /a | mkdir /a | write /a/b=c":                  "delete mkdir / write",
		"run-command a | enable b | run-command c | enable d":  "run-command / enable run-command / enable",
		"write /b=1 | write /b=2":                              "write",
		"append-line /a:b | upload /etc/hosts:/a":              "append-line / upload",
	} {
		var got []string
		for _, round := range inRounds(given(t, line)) {
			var names []string
			for _, p := range round {
				name, _, _ := strings.Cut(strings.TrimPrefix(p.flag, "--"), " ")
				names = append(names, name)
			}
			got = append(got, strings.Join(names, " "))
		}
		if g := strings.Join(got, " / "); g != want {
			t.Errorf("%s: %s, want %s", line, g, want)
		}
	}
}

// TestRoundsStandWhereTheyAreSaid: places in rounds lead to the flags.
func TestRoundsStandWhereTheyAreSaid(t *testing.T) {
	t.Parallel()
	r, err := FromFlags(given(t, "run-command a | install b,c | user d | run-command e | install f"), "/", Options{})
	if err != nil || r.Report.Err() != nil {
		t.Fatal(err, r.Report.Err())
	}
	for path, want := range map[string]string{
		"rounds[0].scripts.postCustomization[0]": "--run-command a", "rounds[1].os.packages.install[1]": "--install b,c", "rounds[1].os.users[0]": "--user d",
		"rounds[1].scripts.postCustomization[0].interpreter": "--run-command e", "os.packages.install[0]": "--install f",
	} {
		if at := r.Place(path); at.File() != want || !at.Said() {
			t.Errorf("%s: %s", path, at.File())
		}
	}
	if len(r.Config.Rounds) != 2 || fmt.Sprint(r.Config.Rounds[1].OS.Packages.Install, r.Config.OS.Packages.Install) != "[b c] [f]" {
		t.Errorf("%+v", r.Config.Rounds)
	}
}

// TestDirectoriesOverFiles: a directory is copied before files, unless one of those was meant to be in its place first.
func TestDirectoriesOverFiles(t *testing.T) {
	t.Parallel()
	file := feature.Said{Path: "os.additionalFiles", Value: []any{map[string]any{"content": "x", "destination": "/srv/site/index.html"}}}
	for to, want := range map[string]bool{"/srv/site": true, "/srv/sit": false, "/srv": true, "/": true, "/srv/site/index.html": true, "/opt": false} {
		dir := feature.Said{Path: "os.additionalDirs", Value: []any{map[string]any{"source": "x", "destination": to}}}
		if got := comesBefore(dir, file); got != want {
			t.Errorf("%s: %v", to, got)
		}
	}
}
