package liveos

import (
	"context"
	"path"
	"slices"
	"strings"

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

// liveBootArgs start it from a medium. It would write an fstab and network settings into the system, but for skipconfig.
var liveBootArgs = []string{"boot=live", "live-media=/dev/disk/by-label/" + Label, "skipconfig"}

// liveBootArgs are the kernel arguments of live-boot on a medium.
func (s *stage) liveBootArgs() []string {
	if s.spec.Network {
		return []string{"boot=live", "fetch=" + s.spec.URL, "skipconfig", "ip=dhcp"}
	}
	return slices.Clone(liveBootArgs)
}

// usesLiveBoot tells whether live-boot starts the image's live systems: it has initramfs-tools, and no dracut
// that could.
func usesLiveBoot(m *machine.Machine) bool {
	withDracut := m.Has("dracut") && (moduleFolder(m, "dmsquash-live") != "" || !m.Root.Exists(liveBootScript))
	return m.Has("mkinitramfs") && !withDracut
}

// liveBoot checks what makes the initramfs of an image with initramfs-tools.
func (c *lackCheck) liveBoot(s Spec) {
	c.need(c.m.Root.Exists(liveBootScript), "live-boot")
	c.dracutOnly(s.Persistence != "", "keep changes of a live system (iso.persistence)")
	if s.Network {
		c.liveDownload(s.URL)
	}
	c.dracutOnly(s.Filesystem.Type != "squashfs", "start a live system from "+s.Filesystem.Type+" (iso.rootFilesystem)")
}

// liveDownload checks what downloads the medium: wget or tftp of busybox, into memory.
func (c *lackCheck) liveDownload(address string) {
	c.programs("busybox")
	scheme, _, _ := strings.Cut(address, ":")
	if !slices.Contains([]string{"http", "ftp", "tftp"}, scheme) {
		c.found = append(c.found, Lack{
			What: "live-boot of the image cannot download from " + scheme + " addresses", Hint: "use an http, ftp or tftp address in the section pxe, or install dracut, dracut-live and dracut-network",
		})
	}
	if !strings.HasSuffix(address, ".iso") {
		c.found = append(c.found, Lack{What: "live-boot of the image downloads nothing but files with names that end with .iso", Hint: "choose such a name in pxe.bootstrapFileUrl"})
	}
}

func (c *lackCheck) dracutOnly(wanted bool, what string) {
	if wanted {
		c.found = append(c.found, Lack{
			What: "initramfs-tools of the image cannot " + what, Package: "dracut",
			Hint: "add the packages dracut, dracut-live and dracut-network to os.packages.install: they replace initramfs-tools",
		})
	}
}

// makeLiveBoot makes an initramfs with initramfs-tools, compressed as the image is set to, for any machine. Its
// temporary files must lie where programs can be run.
func (b builder) makeLiveBoot(ctx context.Context, k boot.Kernel) error {
	name := "initramfs-" + k.Version
	settings := "settings-" + k.Version // a copy: the image's own are packed meanwhile
	if err := b.m.Run(ctx, hostcmd.New("cp", "-a", "/etc/initramfs-tools", path.Join(b.inside, settings))); err != nil {
		return err
	}
	if err := initramfs.FitAny(b.left, "/"+settings); err != nil {
		return err
	}
	c := hostcmd.New("mkinitramfs", "-d", path.Join(b.inside, settings), "-o", path.Join(b.inside, name), k.Version)
	c.Env = append([]string{"TMPDIR=" + b.inside}, hostcmd.DefaultEnv...)
	if err := b.m.Run(ctx, c); err != nil {
		return err
	}
	return initramfs.Take(b.left, name, b.done, initramfsFile(k))
}
