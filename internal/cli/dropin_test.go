package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/ui"
)

// referenceFlags are the flags of today's Image Customizer and of that of 2023, by command, with a value.
var referenceFlags = map[string][]string{
	"": {
		"--log-level=warn", "--log-level=trace", "--log-file=LOG", "--log-color=auto", "--log-color=always", "--log-color=never",
		"--log-format=text", "--log-format=json", "--timestamp-file=TIMES", "--disable-telemetry",
	},
	"customize": {
		"--build-dir=DIR", "--image-file=IMAGE", "--output-image-file=OUT", "--output-path=OUT",
		"--output-image-format=vhd-fixed", "--output-image-format=baremetal-image", "--output-image-format=pxe-tar", "--output-split-partitions-format=raw-zstd",
		"--rpm-source=DIR", "--rpm-source=DIR,DIR", "--disable-base-image-rpm-repos", "--shrink-filesystems", "--cosi-compression-level=22",
		"--setfiles-context=system_u:system_r:setfiles_mac_t:s0",
		"--image=oci:a", "--image-cache-dir=DIR", "--output-selinux-policy-path=DIR", "--package-snapshot-time=2026-01-01", "--tools-dir=DIR",
	},
	"convert": {
		"--build-dir=DIR", "--output-image-file=OUT", "--output-path=OUT", "--output-image-format=cosi", "--cosi-compression-level=1", "--tools-dir=DIR",
	},
	"validate-config": {"--validate-resources=files", "--validate-resources=files,oci", "--build-dir=DIR"},
	"create":          {"--distro=fedora"},
	"inject-files":    {"--build-dir=DIR", "--output-image-file=OUT", "--output-path=OUT", "--output-image-format=vhd-fixed", "--cosi-compression-level=22"},
}

// TestReferenceFlags: each flag of the reference is taken, or refused with what to do instead.
func TestReferenceFlags(t *testing.T) {
	t.Parallel()
	needed := map[string][]string{"customize": {"--config-file=c"}, "convert": {"--image-file=i"}, "validate-config": {"--config-file=c"}, "inject-files": {"--config-file=c", "--image-file=i"}}
	for command, flags := range referenceFlags {
		for _, f := range flags {
			for _, form := range [][]string{{f}, strings.SplitN(f, "=", 2)} {
				name := command
				if name == "" {
					name = "customize"
				}
				args := slices.Concat([]string{name}, needed[name], form)
				parser, err := newParser(&commandLine{}, os.Stdout, os.Stderr)
				if err != nil {
					t.Fatal(err)
				}
				_, err = parse(parser, args)
				if err == nil {
					continue
				}
				if text := misused(parser, args, err); !strings.Contains(text, "is not supported yet: ") || strings.HasSuffix(text, ": ") {
					t.Errorf("%q: %s", args, text)
				}
			}
		}
	}
}

// TestListsWithCommas: a source that has a comma in its name is one source.
func TestListsWithCommas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	odd := dir + "/a,b"
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	got := listed([]string{odd, dir + "/x," + dir + "/y.repo", "z"})
	if want := []string{odd, dir + "/x", dir + "/y.repo", "z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// stdin makes a text standard input.
func stdin(t *testing.T, text string) {
	t.Helper()
	f, err := os.Open(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = f
	t.Cleanup(func() { os.Stdin = before; _ = f.Close() })
}

// TestConfigOfStandardInput: its paths are relative to the working directory, also those of includes.
func TestConfigOfStandardInput(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"-": "os: {hostname: WRONG_}\n", "there": "x", "part.yaml": "os: {hostname: part}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"os:\n  additionalFiles:\n  - {source: there, destination: /x}\n": "is valid",
		"os:\n  additionalFiles:\n  - {source: gone, destination: /x}\n":  "<standard input>:3:14: error: cannot read gone",
		"os: {hostname: a_b}\n":  "<standard input>:1:16: error: hostname",
		"":                       "is valid",
		"include: [part.yaml]\n": "is valid",
		"include: [none.yaml]\n": "<standard input>:1:11: error:",
	} {
		stdin(t, text)
		_, out, stderr := runCLI(t, "validate-config", "--validate-resources=files", "--config-file", "-")
		if !strings.Contains(out+stderr, want) {
			t.Errorf("%q lacks %q:\n%s%s", text, want, out, stderr)
		}
	}
	stdin(t, "include: [part.yaml]\n")
	if status, out, stderr := runCLI(t, "config", "render", "-"); status != failure.OK || !strings.Contains(out, "hostname: part") {
		t.Errorf("exit %d: %s%s", status, out, stderr)
	}
	stdin(t, "os: {hostname: a}\n")
	if status, _, stderr := runCLI(t, "config", "diff", "-", "-"); status != failure.Usage {
		t.Errorf("exit %d: %s", status, stderr)
	}
}

// TestConfigOfStandardInputIsNoOutput: a file that is standard input is an input like any other.
func TestConfigOfStandardInputIsNoOutput(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "base")
	if err := os.WriteFile(image, make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	stdin(t, "os: {hostname: a}\n")
	status, _, stderr := runCLI(t, "--config-file", "-", "--image-file", image, "--output", "raw="+image)
	if status != failure.Usage || !strings.Contains(stderr, "is the base image") {
		t.Errorf("exit %d: %s", status, stderr)
	}
}

func TestLogColor(t *testing.T) {
	config := write(t, "os: {hostname: a_b}\n")
	for color, want := range map[string]bool{"auto": false, "always": true, "never": false} {
		for _, progress := range []string{"auto", "plain"} {
			_, _, stderr := runCLI(t, "validate-config", "--config-file", config, "--log-color", color, "--progress", progress)
			if strings.Contains(stderr, "\x1b[") != want {
				t.Errorf("--log-color %s --progress %s: %q", color, progress, stderr)
			}
		}
	}
}

// TestTimestampFile: a file that is something else too is left alone; otherwise it has each step, and only steps.
func TestTimestampFile(t *testing.T) {
	config := write(t, "os: {hostname: a}\n")
	status, _, stderr := runCLI(t, "validate-config", "--config-file", config, "--timestamp-file", config)
	if text, _ := os.ReadFile(config); status != failure.Usage || len(text) == 0 {
		t.Errorf("exit %d, config %q: %s", status, text, stderr)
	}
	both := filepath.Join(t.TempDir(), "log")
	if status, _, _ := runCLI(t, "validate-config", "--config-file", config, "--timestamp-file="+both, "--log-file="+both); status != failure.Usage {
		t.Errorf("one file for log and times: exit %d", status)
	}
	image := filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	times := filepath.Join(t.TempDir(), "times")
	if status, _, stderr := runCLI(t, "convert", "--image-file", image, "--output", "raw="+image+"2", "--timestamp-file", times); status != failure.OK {
		t.Fatalf("exit %d: %s", status, stderr)
	}
	text, err := os.ReadFile(times)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []ui.Kind
	for line := range strings.Lines(string(text)) {
		var e ui.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Step == "" || e.Time.IsZero() {
			t.Errorf("%q: %v", line, err)
		}
		kinds = append(kinds, e.Kind)
	}
	if len(kinds) < 2 || kinds[0] != ui.Start || kinds[len(kinds)-1] != ui.Done || slices.Contains(kinds, ui.Progress) {
		t.Errorf("%q", text)
	}
}
