//go:build boot

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
)

// sections is a config with each section that settles how a machine starts. cloud-init gets the host name, a user, an
// address and a command to run from its seed.
const sections = `
os:
  packages: {install: [cloud-init, console-setup, locales, tzdata]}
  users: [{name: carol}]
  timezone: Asia/Kolkata
  locale: {lang: de_DE.UTF-8, extra: {LC_TIME: nb_NO.UTF-8}}
  keymap: {layout: "no", variant: nodeadkeys}
  sysctl: {net.ipv4.ip_forward: "1", kernel.sysrq: "176"}
  hosts: [{ip: 192.0.2.5, names: [db.example.org, db]}]
  sudo: [{user: carol, commands: [/usr/bin/id], password: false}]
  sshd: {rootLogin: prohibit-password, passwordAuthentication: false}
  swap: {size: 64M}
  growOnBoot: true
  firstBoot:
  - {name: note, before: ssh, content: "echo \"$ATTEMPT $(systemctl is-active ssh)\" >/root/first\n"}
  cloudInit:
    config: [{name: 95-site, content: "preserve_hostname: false\n"}]
    seed:
      userData:
        content: |
          #cloud-config
          hostname: seeded
          users: [{name: dave, uid: 1234, sudo: "ALL=(ALL) NOPASSWD:ALL"}]
          runcmd: [[sh, -c, "echo ran >>/root/runcmd"]]
      networkConfig:
        content: |
          version: 2
          ethernets:
            id0: {match: {macaddress: "52:54:00:12:34:56"}, addresses: [192.0.2.7/24]}
  kernelCommandLine: {extraCommandLine: [` + starved + `]}
`

// sectionProbes look for all of that in the booted system, on a disk that is 1 GiB larger than the image was.
var sectionProbes = []probe{
	{"cloud-init status --wait | grep status", "status: done"},
	{"timedatectl show -p Timezone --value; date -d '2026-05-17 12:00 UTC' +%H:%M", "Asia/Kolkata\n17:30"},
	{"su - carol -c 'locale 2>&1' | grep -E '^(LANG|LC_TIME|LC_PAPER)='", "LANG=de_DE.UTF-8\nLC_TIME=nb_NO.UTF-8\nLC_PAPER=\"de_DE.UTF-8\""},
	{"grep -E 'XKB(LAYOUT|VARIANT)=' /etc/default/keyboard; dumpkeys -C /dev/tty1 | grep -c 'keycode *39 = +*oslash'", "XKBLAYOUT=\"no\"\nXKBVARIANT=\"nodeadkeys\"\n1"},
	{"sysctl -n net.ipv4.ip_forward kernel.sysrq", "1\n176"},
	{"getent hosts db | tr -s ' '", "192.0.2.5 db.example.org db"},
	{"su - carol -c 'sudo -n id -un; sudo -n true 2>/dev/null || echo no'", "root\nno"},
	{"sshd -T | grep -E '^(permitrootlogin|passwordauthentication|kbdinteractive)'; systemctl is-active ssh", "permitrootlogin without-password\npasswordauthentication no\nkbdinteractiveauthentication no\nactive"},
	{"hostname; id -un 1234; cat /root/runcmd; ip -o -4 address show | grep -o '192.0.2.7/24'; su - dave -c 'sudo -n id -un'", "seeded\ndave\nran\n192.0.2.7/24\nroot"},
	{"swapon --show=NAME,SIZE --bytes --noheadings | tr -s ' '", "/swapfile 67104768"},
	{"df --output=size -BM / | tail -n1 | awk '{print ($1 + 0 > 3600)}'", "1"},
	{"cat /root/first; ls /var/lib/imagecustomizer/first-boot/note", "1 inactive\nattempt\nended"},
}

// TestSectionsBoot boots Debian 12, whose systemd-repart grows the root and whose seed is in the image, and Debian 13,
// where growpart does so and the seed is on a second drive.
func TestSectionsBoot(t *testing.T) {
	full(t)
	const seeds = "ls /var/lib/cloud/seed/nocloud /etc/repart.d 2>/dev/null; ls /etc/systemd/system/grow-on-boot.service 2>/dev/null"
	for name, by := range map[string]probe{
		"debian12-efi": {seeds, "/etc/repart.d:\n50-grow-00.conf\n50-grow-01.conf\n\n/var/lib/cloud/seed/nocloud:\nmeta-data\nnetwork-config\nuser-data"},
		"debian13-efi": {seeds, "/etc/systemd/system/grow-on-boot.service"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			image := filepath.Join(dir, "image.qcow2")
			options, config, debs := vm.Options{Image: image, Format: "qcow2"}, sections, []string{"cloud-init", "console-setup", "locales", "tzdata"}
			if name == "debian13-efi" {
				options.Data = filepath.Join(dir, "seed.iso")
				config = "output: {seedImage: " + options.Data + "}" + strings.Replace(config, "tzdata]", "tzdata, cloud-guest-utils]", 1)
				debs = append(debs, "cloud-guest-utils")
			}
			customize(t, base(t, name), config, image, "qcow2", "--disable-base-image-rpm-repos", "--deb-source", fixture.DebsFor(t, name, debs...))
			sh(t, dir, "qemu-img resize -q image.qcow2 +1G")
			bootWith(t, options, append(slices.Clone(sectionProbes), by))
		})
	}
}
