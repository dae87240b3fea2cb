//go:build root || boot

package e2e

// extendedLayout grows the root of debian12-efi and adds swap, /var and a filesystem inside that.
const extendedLayout = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 5G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root, size: 3200M}
    - {id: swap, type: swap, size: 64M}
    - {id: var, type: var, size: 1G}
    - {id: log, label: logs, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid, options: errors=remount-ro}}
  - {deviceId: log, type: xfs, mountPoint: {path: /var/log, idType: part-label}}
  - {deviceId: var, type: ext4, mountPoint: {path: /var, idType: uuid}}
os:
  hostname: extended
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
`

// shrunkLayout has one filesystem of each kind, shrunk.
const shrunkLayout = `
storage:
  bootType: efi
  shrink: {headroom: 32M}
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
os:
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
`
