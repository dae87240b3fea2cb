//go:build root

package hostile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"imagecustomizer/test/fault"
	"imagecustomizer/test/tinydisk"
)

// kind is a kind of run whose paths and programs are found by tracing it, and attacked then.
type kind struct {
	fault.Scenario
	base  func(t *testing.T) string // makes the base image, where it is none of test/base
	media bool                      // the base is a medium
}

// kinds are the runs that the suite knows. What one of them touches in an image is not written down anywhere: it
// is traced.
var kinds = []kind{
	{Scenario: fault.Scenario{Name: "files", Config: filesConfig}, base: tiny},
	{Scenario: fault.Scenario{Name: "COSI", Config: "os: {hostname: cosi}\n", Outputs: []string{"cosi"}}, base: tiny},
	{Scenario: fault.Scenario{Name: "packages, apt", Base: "debian12-efi", Config: "os:\n  packages: {install: [jq]}\n", Packages: "deb"}},
	{Scenario: fault.Scenario{Name: "packages, rpm", Base: "azl3", Config: "os:\n  packages: {install: [jq]}\n", Packages: "rpm"}},
	{Scenario: fault.Scenario{Name: "repartition", Base: "debian12-efi", Config: layoutConfig}},
	{Scenario: fault.Scenario{Name: "verity", Base: "debian12-seal", Config: verityConfig}},
	{Scenario: fault.Scenario{Name: "ISO", Base: "debian12-live", Config: isoConfig, Outputs: []string{"iso"}}},
	{Scenario: fault.Scenario{Name: "PXE", Base: "debian12-live", Config: "pxe: {initramfsType: full-os}\n", Outputs: []string{"pxe-tar"}}},
	{Scenario: fault.Scenario{Name: "ISO as base", Config: "os: {hostname: again}\n", Outputs: []string{"iso"}}, base: medium, media: true},
	{Scenario: fault.Scenario{Name: "remake", Config: isoConfig, Outputs: []string{"iso"}}, base: medium, media: true},
}

// limit is how long a run may take with a hostile image.
func (k kind) limit() time.Duration {
	if k.base == nil || k.media {
		return runLimit
	}
	return 3 * time.Minute
}

// filesConfig has a run that needs no program of the image but its shell do all that it can.
const filesConfig = `
os:
  hostname: traced
  additionalFiles:
  - {content: "from the config\n", destination: /etc/app/file}
  - {content: "deep\n", destination: /srv/deep/er/file}
  modules:
  - {name: loaded, loadMode: always, options: {a: "1"}}
  - {name: banned, loadMode: disable}
  users:
  - {name: alice, uid: 1501, sshPublicKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqy5cYxZjgqR7G8tyNvMyDJBxFjHlKq3sUYp1Mn0Wvz a@b"]}
  kernelCommandLine: {extraCommandLine: [added=1]}
scripts:
  postCustomization:
  - content: echo script > /etc/post
`

const isoConfig = `
iso:
  kernelCommandLine: {extraCommandLine: [added=1]}
  additionalFiles:
  - {content: "medium\n", destination: /docs/readme.txt}
`

const layoutConfig = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 5G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root, type: root, size: 3G}
    - {id: var, type: var, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
  - {deviceId: var, type: ext4, mountPoint: /var}
os: {bootloader: {resetType: hard-reset}}
`

const verityConfig = `
storage:
  verity:
  - id: rootverity
    name: root
    dataDevice: {idType: part-label, id: root}
    hashDevice: {idType: part-label, id: root-hash}
`

// tiny makes a disk with what filesConfig asks for.
func tiny(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.raw")
	tinydisk.Make(t, path, tinydisk.System().With(tinydisk.Files{
		"/boot/grub2/grub.cfg":              "menuentry tiny {\n\tlinux /vmlinuz root=UUID=" + tinydisk.RootUUID + " $kernelopts\n}\n",
		"/etc/selinux/config":               "SELINUX=permissive\n",
		"/usr/sbin/modprobe":                "->/bin/busybox",
		"/etc/shells":                       "/bin/sh\n",
		"/lib/systemd/systemd-modules-load": "->/bin/busybox",
	}))
	return path
}

// medium makes an ISO image.
func medium(t *testing.T) string {
	t.Helper()
	lane := fault.NewLane(t, fault.Scenario{Base: "debian12-live", Config: isoConfig, Outputs: []string{"iso"}})
	if _, err := lane.Measure(runLimit); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "base.iso")
	if err := os.Rename(lane.Outputs()["iso"], path); err != nil {
		t.Fatal(err)
	}
	return path
}
