//go:build boot

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unitFile is the config of an image with a unit of its own, which the system starts.
func unitFile(name, text string) string {
	return fmt.Sprintf("os:\n  additionalFiles:\n  - destination: /etc/systemd/system/%s\n    content: |\n      %s\n  services: {enable: [%[1]s]}\n",
		name, strings.ReplaceAll(text, "\n", "\n      "))
}

// brokenBoots are images that verify finds nothing wrong with, and what their boot test says.
var brokenBoots = []struct {
	name, config, test string
	want               string
	sampled            bool
}{
	{"failed unit", unitFile("bad.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the disk is missing; exit 3'\n[Install]\nWantedBy=multi-user.target"),
		"test: {ports: [22]}", "failed: bad.service; Starting", true},
	{"unit that never starts", unitFile("slow.service", "[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target"),
		"test: {target: multi-user.target, timeout: 240}", "slow.service start running", false},
	{"mount of nothing", unitFile("data.mount", "[Unit]\nJobTimeoutSec=10\n[Mount]\nWhat=/dev/disk/by-label/nothing\nWhere=/data\n[Install]\nRequiredBy=local-fs.target"),
		"test: {ports: [22]}", "systemd stopped in emergency mode", false},
	{"no server", "os: {services: {disable: [ssh]}}\n", "test: {ports: [22]}", "port 22: no program listens there", false},
	{"wrong answer", "os: {hostname: other}\n", "test: {commands: [{command: hostname, output: wanted}]}", `it printed "other" instead of "wanted"`, false},
	{"no file", "os: {hostname: x}\n", "test: {files: [{path: /etc/nothing}]}", "file: /etc/nothing: the file is not there", false},
	{"init that ends", "os: {kernelCommandLine: {extraCommandLine: [\"init=/usr/bin/true\"]}}\n", "test: {timeout: 240}", "the kernel panicked", false},
	{"rescue", "scripts: {postCustomization: [{content: \"systemctl set-default rescue.target\"}]}\n", "test: {timeout: 240}", "emergency mode", false},
	{"second boot", unitFile("once.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'test ! -e /var/lib/once && touch /var/lib/once'\n[Install]\nWantedBy=multi-user.target"),
		"test: {boots: 2}", "boot 2  no failed units: failed: once.service", false},
	{"power cut", unitFile("half.service", "[Unit]\nDefaultDependencies=no\nAfter=systemd-remount-fs.service\nBefore=basic.target\n[Service]\nType=oneshot\n"+
		"ExecStart=/bin/sh -c 'test ! -e /var/lib/half && touch /var/lib/half && sync'\nExecStart=/bin/sleep 20\nExecStart=/bin/rm /var/lib/half\n[Install]\nWantedBy=basic.target"),
		"test: {powerCut: true}", "boot 2  no failed units: failed: half.service", false},
}

// TestBrokenImagesFailTheirTest customizes images that boot in part or not at all: nothing is published, and the reason is said.
func TestBrokenImagesFailTheirTest(t *testing.T) {
	for _, c := range brokenBoots {
		if !c.sampled && os.Getenv("FULL") == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			out, junit := filepath.Join(dir, "out.qcow2"), filepath.Join(dir, "junit.xml")
			status, text := run(t, "--build-dir", filepath.Join(dir, "build"), "--image-file", base(t, "debian13-efi"), "--config-file", writeConfig(t, c.config+c.test+"\n"),
				"--output-image-file", out, "--junit", junit, "--console-log", filepath.Join(dir, "console"))
			if status != 1 || !strings.Contains(text, c.want) {
				t.Errorf("exit %d, want 1 and %q\n%s", status, c.want, text)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("the image was published")
			}
			if xml, err := os.ReadFile(junit); err != nil || !strings.Contains(string(xml), "<failure") {
				t.Errorf("JUnit: %v\n%s", err, xml)
			}
		})
	}
}

// TestGoodImagesPassTheirTest boots images of either way in which their system is asked, by UEFI and BIOS.
func TestGoodImagesPassTheirTest(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Log("the whole matrix is for make test-full")
	}
	for _, c := range []struct{ name, injection string }{
		{"debian12-efi", "overlay"}, {"debian13-efi", "credential"}, {"debian12-bios", "overlay"}, {"azl3", "overlay"},
	} {
		if os.Getenv("FULL") == "" {
			break
		}
		t.Run(c.name, func(t *testing.T) {
			status, text := run(t, "test", base(t, c.name), "--boots", "2", "--power-cut", "--command", "test -w /", "--file", "/etc/os-release")
			if status != 0 || !strings.Contains(text, "injection: "+c.injection) || strings.Contains(text, "not run") {
				t.Errorf("exit %d\n%s", status, text)
			}
		})
	}
}
