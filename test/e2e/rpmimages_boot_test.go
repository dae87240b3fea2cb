//go:build boot

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmeExample is the config in the schema of 2023 that the README shows.
func readmeExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n( *SystemConfig:.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("the README has no example with SystemConfig")
	}
	return strings.ReplaceAll(string(m[1]), "\n   ", "\n")[3:]
}

// raw converts an image, to look at what is in it.
func raw(t *testing.T, image, format string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image.raw")
	if text, err := exec.Command("qemu-img", "convert", "-f", format, "-O", "raw", image, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// TestMarinerReadmeExample runs the README's example with the README's flags, and then everything on
// what came out, which boots.
func TestMarinerReadmeExample(t *testing.T) {
	t.Parallel()
	dir, image := t.TempDir(), base(t, "mariner2")
	if exists(t, image, "/usr/bin/dnf") {
		t.Fatal("the base image has dnf already")
	}
	repo := []string{"--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos"}
	first, second := filepath.Join(dir, "out", "image.vhdx"), filepath.Join(dir, "second.vhd")
	customize(t, convert(t, image, "vhdx"), readmeExample(t), first, "vhdx", repo...)
	if !exists(t, raw(t, first, "vhdx"), "/usr/bin/dnf") {
		t.Error("dnf was not installed")
	}
	customize(t, first, strings.Replace(everything, "PACKAGE", "jq", 1), second, "vhd-fixed", repo...)
	boot(t, second, "vhd-fixed", append(everythingProbes,
		probe{"rpm -q --qf '%{NAME}\\n' dnf jq; dnf --version >/dev/null && echo works", "dnf\njq\nworks"},
		probe{"echo '[1]' | jq -c .", "[1]"},
		probe{"grep -c rd.auto=1 /proc/cmdline", "1"},
	))
}

// TestAzureLinux updates the kernel too, so that an initramfs made in the run boots.
func TestAzureLinux(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.qcow2")
	config := strings.Replace(everything, "install: [PACKAGE]", "install: [tcpdump]\n    update: [kernel, less]", 1)
	customize(t, convert(t, base(t, "azl3"), "vpc", "-o", "subformat=dynamic,force_size=on"), config, out, "qcow2",
		"--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos")
	boot(t, out, "qcow2", append(everythingProbes,
		probe{"rpm -q kernel | wc -l; uname -r | cut -d. -f1,2", "2\n6.12"},
		probe{"rpm -q --qf '%{RELEASE}\\n' less; getent passwd tcpdump | cut -d: -f1", "99.azl3\ntcpdump"},
		probe{"grep -c lockdown=integrity /proc/cmdline", "1"},
	))
}
