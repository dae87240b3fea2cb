//go:build boot

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// key is a public key nobody has the private half of.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2cS4zqfmxr4pHxyGmQvFYFzSyRn0MtsUvZb9wQ1xQx test@nowhere"

// everything is a config that uses each kind of customization; PACKAGE is replaced.
const everything = `
os:
  hostname: e2e-host
  packages:
    install: [PACKAGE]
  groups:
  - name: operators
    gid: 1500
  users:
  - name: alice
    uid: 1501
    password:
      type: plain-text
      value: "pässword with spaces"
    passwordExpiresDays: 90
    sshPublicKeys: ["` + key + `"]
    primaryGroup: operators
    startupCommand: /bin/sh
  additionalFiles:
  - content: "hello\n"
    destination: /etc/e2e/hello
    permissions: "640"
  - destination: /etc/systemd/system/e2e.service
    content: |
      [Unit]
      Description=end to end
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/bin/sh -c 'echo ran > /run/e2e'
      [Install]
      WantedBy=multi-user.target
  services:
    enable: [e2e]
  modules:
  - name: nbd
    loadMode: always
    options:
      nbds_max: "3"
  kernelCommandLine:
    extraCommandLine: ["e2e.plain=1", "e2e.list=a,b=c"]
scripts:
  postCustomization:
  - content: |
      getent hosts localhost >/dev/null && echo "$WORD" > /etc/e2e/post
    environmentVariables: {WORD: "post it", PATH: "/usr/bin:/bin"}
  finalizeCustomization:
  - name: last
    content: test ! -e /_imageconfigs/nothing && ls /_imageconfigs > /etc/e2e/final
`

// everythingProbes finds what everything did.
var everythingProbes = []probe{
	{"hostname", "e2e-host"},
	{"getent group operators", "operators:x:1500:"},
	{"getent passwd alice | cut -d: -f3,4,6,7", "1501:1500:/home/alice:/bin/sh"},
	{"getent shadow alice | cut -d: -f2 | cut -c1-3; getent shadow alice | cut -d: -f5", "$6$\n90"},
	{"cat /home/alice/.ssh/authorized_keys; stat -c '%U %G %a' /home/alice/.ssh /home/alice/.ssh/authorized_keys", key + "\nalice operators 700\nalice operators 600"},
	{"cat /etc/e2e/hello; stat -c '%a %U' /etc/e2e/hello", "hello\n640 root"},
	{"cat /run/e2e", "ran"},
	{"cat /sys/module/nbd/parameters/nbds_max", "3"},
	{"tr ' ' '\\n' < /proc/cmdline | grep -c -x -e e2e.plain=1 -e e2e.list=a,b=c", "2"},
	{"cat /etc/e2e/post", "post it"},
	{"cat /etc/e2e/final", "config.yaml"},
	{"grep -c ^IMAGE_UUID= /etc/image-customizer-release", "1"},
	{"grep -c 'with spaces' /usr/share/image-customizer/history.json", "0"},
	{"ls -d /_imageconfigs /_localrpms 2>/dev/null | wc -l", "0"},
}

func TestDebianUEFI(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out", "image.vhdx")
	image := convert(t, base(t, "debian12-efi"), "vhdx")
	customize(t, image, strings.Replace(everything, "PACKAGE", "jq", 1), out, "vhdx")
	boot(t, out, "vhdx", append(everythingProbes, probe{"echo '[1]' | jq -c .", "[1]"}))
}

func TestDebianBIOSCustomizedTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.vhd"), filepath.Join(dir, "second.qcow2")
	customize(t, convert(t, base(t, "debian12-bios"), "qcow2"), strings.Replace(everything, "PACKAGE", "jq", 1), first, "vhd")
	customize(t, first, "os:\n  hostname: twice\n  kernelCommandLine:\n    extraCommandLine: [e2e.second=1, e2e.plain=1]\n", second, "qcow2")
	probes := append([]probe{
		{"hostname", "twice"},
		{"tr ' ' '\\n' < /proc/cmdline | grep -c -x -e e2e.plain=1 -e e2e.second=1", "2"},
		{"grep -c toolVersion /usr/share/image-customizer/history.json", "2"},
	}, everythingProbes[1:8]...)
	boot(t, second, "qcow2", probes)
}

// TestSeparateFilesystems boots images whose root is spread over several filesystems.
func TestSeparateFilesystems(t *testing.T) {
	t.Parallel()
	names := []string{"debian12-parts", "debian12-btrfs"}
	if os.Getenv("FULL") != "" {
		names = append(names, "debian12-xfs", "debian12-mbr")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image.raw")
			customize(t, base(t, name), strings.Replace(everything, "install: [PACKAGE]", "install: []", 1), out, "raw")
			boot(t, out, "raw", everythingProbes)
		})
	}
}
