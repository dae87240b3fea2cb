package arch

// hostCode is what may take paths of the host, with the reason: packages that see no image, and files or
// functions, as file:function, of those that do. A new entry needs a reason why no link of an image can lead
// the path anywhere.
var hostCode = byPlace(map[string][]string{
	"it makes the paths of images safe, with descriptors and openat2": {
		"internal/rootfs",
	},
	"it works on open folders of a tree, and on one name in them at a time, which is no link or not followed": {
		"internal/filetree/folder.go", "internal/filetree/flags.go", "internal/filetree/copy.go", "internal/filetree/attr.go",
	},
	"it never sees an image": {
		"cmd/docs", "internal/hostcmd", "internal/confine", "internal/cli", "internal/config", "internal/ui", "internal/hostfs",
	},
	"it sees files with an image in them, and never what is in the image": {
		"internal/cow", "internal/tempfile", "internal/vm", "internal/diskformat",
		"internal/app/overlay.go:worker.overlay", "internal/app/edit.go:aloneBelow", "internal/app/boot.go:Boot", "internal/app/overlay.go:onBase", "internal/app/worker.go:worker.lookAtBase",
		"internal/liveos/medium.go:medium.at", "internal/liveos/loader.go:medium.espFiles",
	},
	"it builds the worker's root, before any image is there": {
		"internal/sandbox/root.go", "internal/sandbox/cover.go", "internal/sandbox/sandbox.go", "internal/sandbox/exec.go", "internal/sandbox/self.go", "internal/sandbox/confine.go",
	},
	"it works in the namespaces of a step before a program of the image runs there, and /proc, once mounted, is the kernel's": {
		"internal/sandbox/first.go", "internal/sandbox/proc.go", "internal/sandbox/setuid.go", "internal/sandbox/killed.go",
	},
	"it mounts on a descriptor, or on a filesystem that was made a moment before": {
		"internal/sandbox/image.go:Image.Bind", "internal/sandbox/image.go:Image.mount", "internal/sandbox/image.go:Image.remount",
		"internal/sandbox/image.go:Image.unmount", "internal/sandbox/image.go:Image.fillDev",
		"internal/sandbox/view.go:Image.WithView",
		"internal/disk/fat.go:FAT.stage", "internal/disk/fat.go:OpenFAT", "internal/disk/fat.go:FAT.scan",
		"internal/disk/mount.go:MountVolume", "internal/disk/mount.go:Unmount", "internal/disk/mount.go:Trim", "internal/disk/mount.go:Watch", "internal/disk/mount.go:Space",
		"internal/image/open.go:Disk.coverData", "internal/image/boot.go:Disk.HoldBoot", "internal/image/extend.go:Disk.WithNew", "internal/image/create.go:Disk.Room",
	},
	"it opens as a root a folder of the worker that a filesystem of the image was just mounted at": {
		"internal/image/open.go:Disk.mountTree", "internal/image/create.go:Disk.mountLayout", "internal/image/create.go:Disk.makeSubvolumes",
		"internal/image/findroot.go:Disk.lookInto", "internal/image/look.go:Disk.lookAtRoot",
	},
	"it hands the root folder, which the worker made, to a program or to be mounted at again": {
		"internal/machine/run.go:Machine.RunScript", "internal/machine/session.go:Machine.Change",
		"internal/liveos/unpack.go:unpacker.unpack",
	},
	"it names devices in the worker's /dev and /sys": {
		"internal/sandbox/sys.go:Image.fillSys", "internal/sandbox/sys.go:Image.linkDevice",
		"internal/disk/loop.go", "internal/disk/btrfs.go", "internal/disk/size.go:FilesystemExtent", "internal/disk/fat.go:deviceSize", "internal/disk/mount.go:SetReadOnly",
		"internal/image/open.go:Disk.makeNodes", "internal/image/close.go:Disk.fresh", "internal/image/settle.go:Disk.settle", "internal/disk/mount.go:underMountName", "internal/image/create.go:probeDevice",
	},
	"it reads what the kernel says in /proc": {
		"internal/disk/mount.go:users",
		"internal/app/fixed.go:setProcessors", "internal/app/doctor.go:kernelHas", "internal/app/host.go:ownConfinement",
	},
	"it makes or opens a folder of the worker; what an image is given of it is reached through a root": {
		"internal/image/within.go:Disk.show", "internal/machine/extend.go:Machine.populate", "internal/machine/session.go:createDisk", "internal/machine/session.go:Open", "internal/machine/session.go:Machine.openScratch",
		"internal/app/remake.go:worker.unpack", "internal/app/host.go:examine",
		"internal/image/extend.go:Disk.makeNew", "internal/image/shrink.go:withBtrfs",
		"internal/image/shrinkxfs.go:Disk.rebuildXFS", "internal/image/shrinkxfs.go:Disk.fillXFS", "internal/initramfs/tree.go:Tree.write",
		"internal/liveos/net.go:addFolder", "internal/liveos/remake.go:emptyFolder", "internal/liveos/stage.go:stage.beside", "internal/liveos/stage.go:newStage",
		"internal/machine/machine.go:Machine.makeMountPoint",
		"internal/pkgmgr/session.go:Open", "internal/pkgmgr/session.go:Session.Close", "internal/pkgmgr/rpm/rpm.go:transactions.index",
		"internal/pkgmgr/apt/apt.go:transactions.showIndex", "internal/pkgmgr/share.go", "internal/pkgmgr/rpm/download.go",
	},
	"it looks only at which files there are in the folder for downloads, and how large they are": {
		"internal/pkgmgr/rpm/rpm.go:transactions.unread", "internal/pkgmgr/stall.go:sizeOf", "internal/pkgmgr/receive.go:received",
	},
	"it is given the file of an output": {
		"internal/liveos/iso.go:Maker.iso", "internal/liveos/net.go:Maker.net", "internal/liveos/remake.go:Remake",
		"internal/liveos/payload.go:payload.pack", "internal/liveos/payload.go:payload.packInitramfs", "internal/liveos/payload.go:payload.read",
		"internal/output/write.go",
	},
	"it publishes outputs, in folders of the user": {
		"internal/output/folder.go", "internal/output/owner.go", "internal/output/pending.go", "internal/output/original.go", "internal/output/inuse.go",
	},
	"it reads or makes what the user named, on the host": {
		"internal/sandbox/files.go", "internal/feature/files/flags.go:sayCopied", "internal/feature/scripts/flags.go:hostScript",
		"internal/app/openfiles.go:cacheFolder", "internal/app/openfiles.go:openedFiles.open", "internal/compose/files.go", "internal/compose/variables.go:variable.of", "internal/app/inputs.go", "internal/app/secrets.go:secretFrom",
		"internal/app/options.go:regularFile", "internal/app/options.go:unaliased", "internal/app/space.go",
		"internal/app/signkeys.go", "internal/app/injectwork.go:worker.fits", "internal/app/injectwork.go:injections.each", "internal/app/verify.go:LookOptions.look", "internal/app/witness.go:witnessOf",
		"internal/liveos/stage.go:stage.add", "internal/liveos/stage.go:stage.biosModules", "internal/liveos/liveos.go:firmware.findBIOS",
		"internal/pkgmgr/apt/setup.go:aptPlan.folder", "internal/pkgmgr/apt/setup.go:aptPlan.sourceFile", "internal/pkgmgr/apt/debfile.go:readDeb", "internal/pkgmgr/rpm/localfile.go:repoSet.show",
		"internal/pkgmgr/pkgmgr.go:CheckSource", "internal/pkgmgr/rpm/repos.go:hasPackages", "internal/pkgmgr/rpm/repos.go:repoSet.addFile", "internal/pkgmgr/rpm/rpm.go:transactions.writeRepos",
		"internal/feature/record.go", "internal/feature/supplied.go:Supplied.ReadFile", "internal/feature/supplied.go:Supplied.find",
		"internal/feature/files/files.go", "internal/feature/files/destination.go",
		"internal/feature/system/resolvconf.go:HostNameServers",
		"internal/feature/scripts/scripts.go", "internal/feature/scripts/scriptcheck.go", "internal/feature/scripts/firstboot.go:FirstBootScript.text",
		"internal/feature/users/password.go:PasswordFile.UnmarshalScalar", "internal/feature/users/sshkeys.go:KeyFile.UnmarshalScalar",
		"internal/feature/cloud/text.go:CloudText.read",
	},
	"it shares files under the SHA-256 of their content, in a folder that no image sees": {
		"internal/pkgmgr/store.go",
		// What this program alone keeps there is taken out again.
		"internal/pkgmgr/prune.go",
	},
})

func byPlace(reasons map[string][]string) map[string]string {
	list := map[string]string{}
	for reason, places := range reasons {
		for _, p := range places {
			list[p] = reason
		}
	}
	return list
}
