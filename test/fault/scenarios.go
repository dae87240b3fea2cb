package fault

import "os"

// Scenarios are the kinds of runs that are tortured. Each must succeed when it is left alone.
var Scenarios = scenarios()

func scenarios() []Scenario {
	list := []Scenario{
		{Name: "demo on Debian", Base: "debian12-efi", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "deb"},
		{Name: "demo on Azure Linux-like", Base: "azl3", Config: "test/demo/config/demo.yaml", Outputs: []string{"raw", "qcow2"}, Packages: "rpm"},
	}
	if os.Getenv("FULL") != "" { // whose runs take long
		list = append(list, storage...)
		list = append(list, live...)
	}
	return list
}

// storage are runs that lay disks out anew, change them in place, seal, shrink and take them apart.
var storage = []Scenario{
	{Name: "repartition", Base: "debian12-efi", Config: newLayout, Outputs: []string{"qcow2"}},
	{Name: "in place", Base: "debian12-efi", Config: grownLayout},
	{Name: "verity", Base: "debian12-seal", Config: sealedRoot},
	{Name: "shrink and COSI", Base: "debian12-efi", Config: "storage: {shrink: {headroom: 10M}}\n", Outputs: []string{"raw", "cosi"}, Args: []string{"--cosi-compression-level", "3"}},
	{Name: "COSI", Base: "debian12-efi", Config: "os: {hostname: writer}\n", Outputs: []string{"cosi"}, Args: []string{"--cosi-compression-level", "3"}},
}

// live are runs that make live media: the system on an ISO image and as an initramfs, and one that is downloaded.
var live = []Scenario{
	{Name: "LiveOS", Base: "debian12-live", Config: "iso: {persistence: {label: changes}}\n", Outputs: []string{"iso", "pxe-tar"}},
	{Name: "LiveOS downloaded", Base: "debian12-live", Config: "pxe: {initramfsType: bootstrap, bootstrapBaseUrl: 'http://192.0.2.1'}\n", Outputs: []string{"pxe-tar"}},
}

// newLayout has every kind of filesystem, and shrinks what can be.
const newLayout = `
storage:
  bootType: efi
  shrink: {headroom: 10M}
  disks:
  - partitionTableType: gpt
    maxSize: 6G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, size: 512M}
    - {id: root, type: root, size: 3G}
    - {id: var, type: var, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: ext4, mountPoint: /boot}
  - {deviceId: root, type: xfs, mountPoint: /}
  - {deviceId: var, type: btrfs, mountPoint: /var}
os: {bootloader: {resetType: hard-reset}}
`

// grownLayout grows the root of the image and adds /var.
const grownLayout = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 5G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root, size: 3200M}
    - {id: var, type: var, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
  - {deviceId: var, type: xfs, mountPoint: /var}
os: {bootloader: {resetType: hard-reset}}
`

const sealedRoot = `
storage:
  verity:
  - id: rootverity
    name: root
    dataDevice: {idType: part-label, id: root}
    hashDevice: {idType: part-label, id: root-hash}
`
