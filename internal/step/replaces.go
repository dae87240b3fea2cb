package step

import (
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
)

// This file is what plan.Replacer asks of each step: the files that must not be immutable or append-only.

// replaced are files that one part of the config asks for.
func replaced(at string, files ...string) (list []plan.Replaced) {
	for _, f := range files {
		list = append(list, plan.Replaced{File: f, Path: at})
	}
	return list
}

// present are those of the files that are there, for a step that changes no others.
func present(m *machine.Machine, files ...string) []string {
	return slices.DeleteFunc(files, func(f string) bool { return !m.Root.Exists(f) })
}

// bootFiles are what kernel arguments are written to.
func bootFiles(m *machine.Machine, s boot.Scheme) []string {
	files := []string{s.Config}
	switch s.Kind {
	case boot.BLS, boot.Systemd:
		entries, _ := m.Root.ReadDir(s.Entries)
		for _, e := range entries {
			files = append(files, path.Join(s.Entries, e.Name()))
		}
		files = append(files, grubDefault, "/etc/kernel/cmdline")
	case boot.Mkconfig:
		files = append(files, grubDefault)
	}
	return present(m, files...)
}

// Replaces lists the account files that a new group is entered in.
func (s AddGroup) Replaces(m *machine.Machine) []plan.Replaced {
	if _, there := groupID(m.Root, s.Group); there {
		return nil
	}
	return replaced(s.Path, append([]string{groupFile}, present(m, gshadowFile)...)...)
}

// Replaces lists the account files that the user is entered in, and that of the keys.
func (s ChangeUser) Replaces(m *machine.Machine) (list []plan.Replaced) {
	a, there := lookupUser(m.Root, string(s.User.Name))
	var files []string
	switch u := s.User; {
	case !there:
		files = []string{passwdFile, groupFile, shadowFile, gshadowFile, "/etc/subuid", "/etc/subgid"}
	case u.StartupCommand != "" || u.PrimaryGroup != "":
		files = append(files, passwdFile)
	}
	if len(s.User.SecondaryGroups) > 0 {
		files = append(files, groupFile, gshadowFile)
	}
	if s.User.Password != nil || s.User.PasswordExpiresDays != nil {
		files = append(files, shadowFile)
	}
	list = replaced(s.Path, present(m, files...)...)
	if there && len(s.User.SSHPublicKeys)+len(s.User.SSHPublicKeyPaths) > 0 {
		list = append(list, replaced(s.Path, path.Join(a.home, ".ssh/authorized_keys"))...)
	}
	return list
}

// Replaces is the file.
func (s WriteFile) Replaces(*machine.Machine) []plan.Replaced {
	return replaced(s.Path+".destination", s.Destination)
}

// Replaces lists the names of the machine.
func (SetHostname) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("os.hostname", append([]string{hostnameFile}, present(m, hostsFile)...)...)
}

// Replaces is where links to what is enabled are kept.
func (s SetService) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced(s.Path, path.Join(unitFolders[0], s.unit()+".wants")) // its folder is what is asked for
}

// Replaces lists the files for the module.
func (s SetModule) Replaces(*machine.Machine) (list []plan.Replaced) {
	switch s.LoadMode {
	case "always":
		list = replaced(s.Path, loadFile)
	case "disable":
		list = replaced(s.Path, disableFile)
	}
	if len(s.Options) > 0 {
		list = append(list, replaced(s.Path, optionsFile)...)
	}
	return list
}

// Replaces is the file of the release.
func (s WriteRelease) Replaces(*machine.Machine) []plan.Replaced { return replaced("", s.File) }

// Replaces is the record.
func (WriteHistory) Replaces(*machine.Machine) []plan.Replaced { return replaced("", historyFile) }

// Replaces lists the configuration of the boot loader.
func (s AddKernelArgs) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("os.kernelCommandLine", bootFiles(m, s.Scheme)...)
}

// Replaces lists the configuration of the boot loader.
func (s ResetBoot) Replaces(m *machine.Machine) []plan.Replaced {
	config := m.Facts.Boot.Config
	if config == "" {
		return nil
	}
	return replaced("os.bootloader", config, path.Join(path.Dir(config), "grubenv"), grubDefault)
}

// Replaces is SELinux's configuration.
func (SetSELinux) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("os.selinux", present(m, selinuxConfig)...)
}

// Replaces is the file that asks for labels.
func (RelabelAtBoot) Replaces(*machine.Machine) []plan.Replaced { return replaced("", autorelabel) }

// Replaces is the fstab.
func (s AddOverlay) Replaces(*machine.Machine) []plan.Replaced { return replaced(s.Path, fstabFile) }

// Replaces is the fstab, and the configuration of the boot loader.
func (s PrepareVerity) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("storage.verity", append(bootFiles(m, m.Facts.Boot), fstabFile)...)
}

// Replaces lists GRUB's defaults, where they name the devices.
func (ForgetVerity) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("storage.disks", present(m, grubDefault)...)
}

// Replaces is the fstab.
func (NewDisk) Replaces(*machine.Machine) []plan.Replaced {
	return replaced("storage.disks", fstabFile)
}

// Replaces lists what names the identifiers of filesystems.
func (ResetIdentifiers) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("storage.resetPartitionsUuidsType", append(bootFiles(m, m.Facts.Boot), present(m, fstabFile)...)...)
}

// Replaces lists the images in /boot.
func (RebuildInitramfs) Replaces(m *machine.Machine) []plan.Replaced {
	return replaced("", initramfs.Images(m)...)
}

// Replaces lists the package manager's records, and what the packages that are removed have brought.
func (s ChangePackages) Replaces(m *machine.Machine) []plan.Replaced {
	list := replaced("os.packages", present(m, probe.Records()...)...)
	for _, name := range s.Remove {
		at := s.place(name, "remove")
		list = append(list, replaced(at, present(m, probe.Files(m, strings.TrimSpace(name))...)...)...)
	}
	return list
}
