//go:build root

package fault

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

func documented(t *testing.T) []string {
	t.Helper()
	list, err := DocumentedCapabilities(filepath.Join(fixture.Root(), "docs/containers.md"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestContainer runs the demo with nothing but what docs/containers.md asks for, with and without
// devices of partitions.
func TestContainer(t *testing.T) {
	t.Parallel()
	for _, partitions := range []bool{true, false} {
		l := NewLane(t, Scenarios[0])
		l.Wrap = Container(documented(t))
		if !partitions {
			if err := l.DenyPartitions(); err != nil {
				t.Fatal(err)
			}
		}
		succeed(t, l)
		status, text := l.doctor(t)
		if want := "without  devices of loop partitions"; strings.Contains(text, want) == partitions {
			t.Errorf("devices of partitions allowed: %v, exit %d\n%s", partitions, status, text)
		}
	}
}

// doctor runs the command in the lane's surroundings.
func (l *Lane) doctor(t *testing.T) (int, string) {
	t.Helper()
	words := append(slices.Clone(l.Wrap), "sh", "-c", `echo $$ > "$1/cgroup.procs"; shift; exec "$@"`, "sh", l.cgroup, l.Binary, "doctor")
	if len(l.Wrap) > 0 { // the cgroup is entered first: /sys is read-only afterwards
		words = append([]string{"sh", "-c", `echo $$ > "$1/cgroup.procs"; shift; exec "$@"`, "sh", l.cgroup}, append(slices.Clone(l.Wrap), l.Binary, "doctor")...)
	}
	text, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err == nil {
		return 0, string(text)
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode(), string(text)
}

// TestDoctorNamesWhatAContainerLacks takes away one thing after the other. What a run says, and with
// which exit status, must fit.
func TestDoctorNamesWhatAContainerLacks(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: "os: {hostname: contained}\n"})
	all := documented(t)
	for _, missing := range all {
		l.Wrap = Container(slices.DeleteFunc(slices.Clone(all), func(c string) bool { return c == missing }))
		status, text := l.doctor(t)
		want := "--cap-add " + missing
		if !strings.Contains(text, want) || status != 4 {
			t.Errorf("without %s: exit %d, want 4 and %q:\n%s", missing, status, want, text)
		}
	}
	l.Wrap = Container(slices.DeleteFunc(all, func(c string) bool { return c == "SYS_ADMIN" }))
	wantFailure(t, l, start(t, l), 4, "--cap-add SYS_ADMIN", "--privileged")
}

// TestDoctorNamesMissingPrograms has one program that cannot be started, and says what brings it.
func TestDoctorNamesMissingPrograms(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: "os: {hostname: contained}\n"})
	for program, debian := range map[string]string{"zstd": "zstd", "mksquashfs": "squashfs-tools"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		l.Wrap = []string{"unshare", "--mount", "sh", "-ec", `mount --bind /dev/null "$1"; shift; exec "$@"`, "sh", path}
		status, text := l.doctor(t)
		if want := "MISSING  program " + program + ": apt-get install " + debian; !strings.Contains(text, want) || status != 4 {
			t.Errorf("exit %d, want 4 and %q:\n%s", status, want, text)
		}
	}
}

// TestUserNamespaceIsRefused is a rootless container.
func TestUserNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: "os: {hostname: contained}\n"})
	l.Wrap = []string{"unshare", "--user", "--map-root-user"}
	wantFailure(t, l, start(t, l), 4, "user namespace", "as the host's root")
}
