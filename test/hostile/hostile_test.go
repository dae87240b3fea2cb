//go:build root || boot

// Package hostile shows what scripts and links of a hostile image can do to the machine that
// customizes it: everything in a plain chroot, nothing with the program.
package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imagecustomizer/test/tinydisk"
)

// build compiles a program of this repository as a static binary.
func build(t *testing.T, out, pkg, arch string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

var separators = regexp.MustCompile(`[^a-z0-9]+`)

// id is the attack's name as that of a folder.
func (a attack) id() string { return separators.ReplaceAllString(strings.ToLower(a.name), "-") }

// lay fills a folder with what drive.sh needs. host is where the folder will be seen.
func lay(t *testing.T, dir, host string, attacks []attack) {
	t.Helper()
	config := filepath.Join(dir, "config")
	lists := map[bool]string{}
	for _, a := range attacks {
		for part, text := range map[string]string{"script": a.script, "setup": a.setup, "probe": a.probe, "undo": a.undo} {
			if text != "" {
				write(t, filepath.Join(config, "attacks", a.id(), part), text+"\n")
			}
		}
		if a.pivot {
			write(t, filepath.Join(config, "attacks", a.id(), "pivot"), "")
		}
		lists[a.alone] += a.id() + "\n"
	}
	write(t, config+"/list", lists[false])
	write(t, config+"/list-alone", lists[true])
	for _, f := range []string{"one.sh", "all.sh", "drive.sh"} {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(config, f), string(text))
	}
	write(t, config+"/config.yaml", fmt.Sprintf(`scripts:
  postCustomization:
  - {path: all.sh, arguments: [list, /results], environmentVariables: {HOST: %[1]s/host}}
  - {path: all.sh, arguments: [list-alone, /results-alone], network: none, environmentVariables: {HOST: %[1]s/host}}
`, host))
	build(t, config+"/attack", "./attack", "amd64")
	build(t, config+"/attack32", "./attack", "386")
	build(t, dir+"/imagecustomizer", "../../cmd/imagecustomizer", "amd64")
	tinydisk.Make(t, dir+"/disk.raw", tinydisk.System())
}

// drive is the command that runs drive.sh for a folder, under a terminal and in namespaces.
func drive(dir, namespaces string) string {
	return fmt.Sprintf("script -qec 'unshare %[2]s bash %[1]s/config/drive.sh %[1]s %[1]s/imagecustomizer' /dev/null", dir, namespaces)
}

// judge compares what drive.sh printed with what must have happened.
func judge(t *testing.T, out string, attacks []attack) {
	t.Helper()
	seen := map[string]string{}
	for line := range strings.Lines(out) {
		name, statuses, _ := strings.Cut(strings.TrimSpace(line), "\t")
		seen[name] = statuses
	}
	if seen["run"] != "0" || seen["base"] != "0" {
		t.Errorf("the run ended with status %q, the base image compared with status %q", seen["run"], seen["base"])
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			plain, confined, _ := strings.Cut(seen[a.id()], " ")
			if plain != "0" {
				t.Errorf("in a plain chroot it ended with status %q: the case shows nothing", plain)
			}
			if confined == "0" || confined == "" || confined == "missing" {
				t.Errorf("run by the program, it ended with status %q", confined)
			}
		})
	}
}

// fit selects the attacks that can be tried at a place.
func fit(where ...place) (list []attack) {
	for _, a := range attacks {
		for _, w := range where {
			if a.where == w {
				list = append(list, a)
			}
		}
	}
	return list
}

func TestThereAreEnoughAttacks(t *testing.T) {
	if len(attacks) < 60 {
		t.Errorf("only %d", len(attacks))
	}
	seen := map[string]bool{}
	for _, a := range attacks {
		if seen[a.id()] {
			t.Errorf("two attacks are called %s", a.id())
		}
		seen[a.id()] = true
	}
}
