package disk

import (
	"fmt"
	"strings"
	"testing"
)

// claimed are the volumes of an image with an EFI system partition, a root, a swap and a btrfs.
var claimed = []Volume{
	{Partition{Number: 1, UUID: "1234abcd-01", Name: "EFI System"}, Content{UUID: "0A1B-2C3D", Label: "ESP", Type: "vfat"}},
	{Partition{Number: 2, UUID: "1234abcd-02", Name: "a/b"}, Content{UUID: someUUID, Label: "my root", Type: "ext4"}},
	{Partition{Number: 3}, Content{UUID: "swap", Type: "swap"}},
	{Partition{Number: 4}, Content{UUID: "btr", Type: "btrfs"}},
	{Partition{Number: 5}, Content{}},
}

const rootLine = "UUID=" + someUUID + " / ext4 defaults 0 1\n"

// TestClaims looks at the last line of each fstab: what it is used for, the volume, and whether it keeps the
// image from being opened.
func TestClaims(t *testing.T) {
	t.Parallel()
	names := map[Use]string{Mount: "mount", Ignore: "ignore", Data: "data", Swap: "swap"}
	cases := map[string]string{
		// what names a disk is another disk, unless it is the first one, or the one that the system boots from
		"/dev/sda1 /boot/efi vfat": "mount 1", "/dev/nvme0n1p1 /boot/efi vfat": "mount 1", "/dev/mmcblk0p4 /srv btrfs": "mount 4",
		"/dev/sda3 none swap sw": "swap 3", "/dev/sdb3 none swap sw": "swap 0", "UUID=foreign none swap sw": "swap 0",
		"/dev/sdb2 / ext4\n/dev/sdb1 /boot/efi vfat":                                          "mount 1",
		"/dev/sdb2 / ext4\n/dev/sda1 /mnt auto":                                               "data 0",
		"/dev/mmcblk1p2 / ext4\n/dev/mmcblk1p4 /srv btrfs":                                    "mount 4",
		"/dev/disk/by-id/ata-X-part2 / ext4\n/dev/disk/by-id/ata-X-part4 /srv btrfs subvol=a": "mount 4",
		"/dev/disk/by-id/ata-X-part2 / ext4\n/dev/disk/by-id/ata-Y-part4 /srv btrfs subvol=a": "data 0",
		"/dev/disk/azure/root-part1 /boot/efi vfat":                                           "mount 1",
		"/dev/disk/azure/resource-part1 /mnt auto":                                            "data 0",
		"/dev/sdb1 /boot/efi vfat":                                                            "mount 1",
		// foreign filesystems
		"UUID=foreign /data ext4": "data 0", "UUID=foreign /data ext4 nofail": "data 0", "/dev/md0 /data ext4": "data 0",
		"/dev/mapper/vg-data /data xfs": "data 0", "ID=nvme-x /data xfs": "data 0", "/dev/sda9 /data xfs": "data 0",
		"UUID=foreign /boot vfat": "mount 0 fatal", "/dev/sdb1 /var ext4": "mount 0 fatal", "UUID=foreign /boot/efi vfat nofail": "ignore 0",
		"/dev/mapper/root / ext4": "mount 0", "/dev/mapper/usr /usr ext4": "mount 0",
		// what is mounted already, or of another type
		"/dev/sda2 /mnt auto nofail": "data 0", "/dev/vda2 /mnt ext4": "data 0", "/dev/sda1 /mnt xfs": "data 0",
		"/dev/sda3 /mnt auto": "data 0", "/dev/sda5 /mnt auto": "data 0", "/dev/sda /mnt auto": "data 0",
		"UUID=btr /srv btrfs subvol=@a\n/dev/sda4 /home btrfs subvol=@b": "mount 4", "UUID=btr /srv btrfs\n/dev/sda4 /home btrfs": "data 0",
		"UUID=" + someUUID + " /mnt xfs": "mount 2", "UUID=" + someUUID + " /second ext4": "mount 2",
		// names that are written wrongly: for udev they are those of nothing
		"UUID=0a1b-2c3d /boot/efi vfat": "mount 1", "uuid=0A1B-2C3D /boot/efi vfat": "mount 1", `"UUID=0A1B-2C3D" /boot/efi vfat`: "mount 1",
		`LABEL='my\040root' /x ext4`: "mount 2", `LABEL=my\x20root /x ext4`: "mount 2", `/dev/disk/by-label/my\040root /x ext4`: "mount 2",
		"PARTUUID=1234ABCD-01 /boot/efi vfat": "mount 1", `UUID=0A1B-2C3D\040 /boot/efi vfat`: "mount 1", "LABEL=esp /x vfat": "data 0",
	}
	for _, no := range []string{
		"none /proc/xen xenfs", "nfsd /proc/fs/nfsd nfsd", "10.0.0.5@tcp:/fsx /fsx lustre", "rpool/data /srv zfs", "/srv/disk.img /srv/mnt ext4",
		"//server/share /mnt cifs", "tmpfs /tmp tmpfs", "overlay /a overlay lowerdir=/b", "s3fs#bucket /s3 fuse _netdev", "mybucket /s3 fuse.s3fs",
		"host:/vol /gfs glusterfs", "debugfs /d debugfs", "/swapfile none swap sw", "/dev/zram0 none swap", "server:/x /x nfs", "shm /dev/shm tmpfs",
		"/dev/sr0 /cd auto", "drvfs /c drvfs", "hugetlbfs /huge hugetlbfs", "tag0 /mnt virtiofs", "systemd-1 /a autofs", "C:\\134 /c 9p", "pool /p bcachefs",
	} {
		cases[no] = "ignore 0"
	}
	for lines, want := range cases {
		fstab := lines
		if !strings.Contains(lines, " / ") {
			fstab = rootLine + lines
		}
		all := ParseFstab(fstab).Claims(claimed)
		c := all[len(all)-1]
		got := fmt.Sprintf("%s %d", names[c.Use], 0)
		if c.Volume != nil {
			got = fmt.Sprintf("%s %d", names[c.Use], c.Volume.Number)
		}
		if c.Fatal {
			got += " fatal"
		}
		if got != want {
			t.Errorf("%s\n\tgot %s (%s), want %s", lines, got, c.Why, want)
		}
	}
}

// TestOtherDisks: every name that Linux and udev give to partitions of disks but the first.
func TestOtherDisks(t *testing.T) {
	t.Parallel()
	for _, disk := range []string{
		"sdb1", "sdc1", "sdaa2", "vdb1", "xvdf1", "hdb1", "nvme1n1p1", "nvme0n2p1", "mmcblk1p1", "dasdb1", "sdb", "nvme1n1", "xvdf",
		"disk/by-id/google-data-part1", "disk/by-id/google-data", "disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0a1-part2", "disk/by-id/scsi-0Linode_Volume_x",
		"disk/by-path/pci-0000:00:1f.2-ata-2-part1", "disk/by-path/virtio-pci-0000:00:05.0", "disk/azure/scsi1/lun0-part1", "disk/cloud/azure_resource-part1",
		"disk/by-id/wwn-0x5000-part1",
	} {
		for _, rest := range []string{" /mnt auto defaults,nofail 0 2", " /data ext4", " /mnt btrfs subvol=@", " /mnt vfat noatime"} {
			c := ParseFstab(rootLine + "/dev/" + disk + rest).Claims(claimed)[1]
			if c.Use != Data || c.Volume != nil || c.Own {
				t.Errorf("%s%s: %+v", disk, rest, c)
			}
		}
	}
}
