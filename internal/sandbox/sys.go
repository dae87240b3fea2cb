package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// sysFolders are what an image's programs expect below /sys of any machine. They are empty, as on one that has no
// hardware: what is there belongs to the host, and would get into the image from the programs that look for it.
var sysFolders = []string{
	"block", "bus", "class/block", "class/net", "dev/block", "dev/char", "devices/system/cpu", "devices/virtual/block",
	"firmware", "fs/cgroup", "kernel", firmwareClass, "power",
}

// firmwareClass has the file in which dracut looks for one more folder with firmware. The kernel knows none.
const firmwareClass = "module/firmware_class/parameters"

// sysTexts are files whose text is that of the host: how many processors there are is no secret, since
// programs that compute need it and the kernel tells it in other ways.
var sysTexts = []string{"devices/system/cpu/online", "devices/system/cpu/possible", "devices/system/cpu/present"}

// ofHost are folders of a disk below /sys that tell where the host has its file.
var ofHost = []string{"loop", "holders", "slaves"}

// fillSys puts into the empty /sys all that programs see of it: nothing but the disks that the nodes in /dev are of.
// Tools that look for the disk of a partition, such as blkid, lsblk and initramfs-tools, need that.
func (i *Image) fillSys(nodes map[string]uint64) error {
	for _, d := range sysFolders {
		if err := i.root.MkdirAll("/sys/"+d, 0o755); err != nil {
			return err
		}
	}
	if err := i.root.WriteFile("/sys/"+firmwareClass+"/path", []byte("\n"), 0o444); err != nil {
		return err
	}
	for _, name := range sysTexts {
		if text, err := os.ReadFile("/sys/" + name); err == nil {
			if err := i.root.WriteFile("/sys/"+name, text, 0o444); err != nil {
				return err
			}
		}
	}
	var disks []string
	for _, number := range nodes {
		disk, err := i.linkDevice(number)
		if err != nil {
			return err
		}
		if disk != "" && !i.root.Exists(disk) {
			disks = append(disks, disk)
			err = i.root.MkdirAll(disk, 0o755)
		}
		if err != nil {
			return err
		}
	}
	if err := i.remount("/sys", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC); err != nil {
		return err
	}
	for _, disk := range disks {
		if err := i.showDisk(disk); err != nil {
			return err
		}
	}
	return nil
}

// linkDevice makes the links that lead from a device number and a name to the folder of a device, and returns
// the folder of its whole disk. Where the host has no such folder, there is nothing to show.
func (i *Image) linkDevice(number uint64) (disk string, err error) {
	byNumber := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(number), unix.Minor(number))
	target, err := os.Readlink(byNumber)
	device := path.Join("/sys/dev/block", target)
	if err != nil || !strings.HasPrefix(device, "/sys/devices/virtual/block/") {
		return "", nil
	}
	disk = device
	links := []string{byNumber, "/sys/class/block/" + path.Base(device)}
	if _, err := os.Lstat(device + "/partition"); err == nil {
		disk = path.Dir(device)
	} else {
		links = append(links, "/sys/block/"+path.Base(device))
	}
	for _, l := range links {
		to, err := filepath.Rel(path.Dir(l), device)
		if err != nil {
			return "", err
		}
		if err := i.root.Symlink(to, l); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	return disk, nil
}

// showDisk shows the folder of a disk, without what it tells of the host.
func (i *Image) showDisk(disk string) error {
	if err := i.Bind(disk, disk, true); err != nil {
		return err
	}
	for _, name := range ofHost {
		if at := path.Join(disk, name); i.root.Exists(at) {
			if err := i.mount(at, "tmpfs", unix.MS_RDONLY, "size=0"); err != nil {
				return err
			}
		}
	}
	return nil
}
