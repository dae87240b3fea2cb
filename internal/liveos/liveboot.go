package liveos

import (
	"context"
	"path"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
)

// live-boot is what starts live systems in an initramfs of initramfs-tools, as dmsquash-live does in one
// of dracut. It looks for filesystem images with known endings in a folder of its own.
const (
	liveBootScript = "/usr/share/initramfs-tools/scripts/live"
	liveBootRoot   = "/live/filesystem.squashfs"
	dracutRoot     = "/" + liveDir + "/" + rootImage
)

// liveBootArgs start it. It would write an fstab and network settings into the system, but for skipconfig.
var liveBootArgs = []string{"boot=live", "live-media=/dev/disk/by-label/" + Label, "skipconfig"}

// usesLiveBoot tells whether the image's initramfs images are made by initramfs-tools.
func usesLiveBoot(m *machine.Machine) bool { return !m.Has("dracut") && m.Has("mkinitramfs") }

// liveBoot checks what makes the initramfs of an image with initramfs-tools.
func (c *lackCheck) liveBoot(s Spec) {
	c.need(c.m.Root.Exists(liveBootScript), "live-boot")
	c.dracutOnly(s.Persistence != "", "keep changes of a live system (iso.persistence)")
	c.dracutOnly(s.Network, "download a live system (pxe.initramfsType: bootstrap)")
	c.dracutOnly(s.Filesystem.Type != "squashfs", "start a live system from "+s.Filesystem.Type+" (iso.rootFilesystem)")
}

func (c *lackCheck) dracutOnly(wanted bool, what string) {
	if wanted {
		c.found = append(c.found, Lack{
			What: "initramfs-tools of the image cannot " + what, Package: "dracut",
			Hint: "add the packages dracut, dracut-live and dracut-network to os.packages.install: they replace initramfs-tools",
		})
	}
}

// makeLiveBoot makes an initramfs with initramfs-tools, compressed as the image is set to. Its temporary
// files must lie where programs can be run.
func (b builder) makeLiveBoot(ctx context.Context, k boot.Kernel) error {
	name := "initramfs-" + k.Version
	c := hostcmd.New("mkinitramfs", "-o", path.Join(b.inside, name), k.Version)
	c.Env = append([]string{"TMPDIR=" + b.inside}, hostcmd.DefaultEnv...)
	if err := b.m.Run(ctx, c); err != nil {
		return err
	}
	return initramfs.Take(b.left, name, initramfsFile(b.dir, k))
}
