package initramfs

import "imagecustomizer/internal/machine"

// The dracut module that mounts /boot in the initramfs, before dm-verity devices are set up whose
// signatures lie there.
const (
	bootModuleDir  = "/usr/lib/dracut/modules.d/90mountbootpartition"
	bootModuleConf = "/etc/dracut.conf.d/mountbootpartition.conf"

	bootModuleSetup = `#!/bin/bash
# Mounts the boot partition in the initramfs, for signatures of dm-verity root hashes.

check() {
    require_binaries mount || return 1
    return 0
}

depends() {
    echo systemd systemd-veritysetup
}

installkernel() {
    hostonly='' instmods ext4 xfs btrfs vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8
}

install() {
    inst_multiple mount umount sed
    inst_script "$moddir/mountbootpartition-generator.sh" \
        "$systemdutildir/system-generators/mountbootpartition-generator"
}
`

	bootGenerator = `#!/bin/sh
# A systemd generator for the initramfs: with pre.verity.mount=UUID on the kernel command line, the
# filesystem of that UUID is mounted at /boot before dm-verity devices are set up.

[ -e /etc/initrd-release ] || exit 0
uuid=$(sed -n 's/.*\bpre\.verity\.mount=\([0-9A-Fa-f-]*\).*/\1/p' /proc/cmdline)
[ -n "$uuid" ] || exit 0

cat > "$1/boot.mount" <<END
[Unit]
Description=Boot partition, for dm-verity signatures
DefaultDependencies=no
Before=veritysetup-pre.target
Conflicts=initrd-switch-root.target
Before=initrd-switch-root.target

[Mount]
What=/dev/disk/by-uuid/$uuid
Where=/boot
Options=ro
END
for name in root usr; do
    mkdir -p "$1/systemd-veritysetup@$name.service.d"
    cat > "$1/systemd-veritysetup@$name.service.d/boot.conf" <<END
[Unit]
Wants=boot.mount
After=boot.mount
END
done
`
)

// MountBootEarly has the image's dracut mount the boot partition in the initramfs.
func MountBootEarly(m *machine.Machine) error {
	if err := m.Root.MkdirAll(bootModuleDir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"/module-setup.sh": bootModuleSetup, "/mountbootpartition-generator.sh": bootGenerator} {
		if err := m.Root.WriteFile(bootModuleDir+name, []byte(text), 0o755); err != nil {
			return err
		}
	}
	return m.Root.AppendLines(bootModuleConf, 0o644, `add_dracutmodules+=" mountbootpartition "`)
}
