package step

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// kept finds what the config would write to filesystems that are sealed by dm-verity and stay so.
// What packages and scripts write cannot be known; the kernel refuses it.
func (c *Config) kept(f *machine.Facts) (problems []plan.Problem) {
	if len(c.Storage.Disks) > 0 {
		return nil // the system is copied to filesystems that are not sealed
	}
	refuse := func(key, path string) {
		if f.FilesystemOf(path).Kept {
			problems = append(problems, plan.Problem{
				Step: key, Text: fmt.Sprintf("%s lies on the filesystem of %s, which is sealed by dm-verity", path, f.FilesystemOf(path).MountPoint),
				Hint: "seal it anew with \"storage: {reinitializeVerity: all}\"",
			})
		}
	}
	for _, x := range []struct {
		key, path string
		used      bool
	}{
		{"os.hostname", "/etc/hostname", c.OS.Hostname != ""},
		{"os.packages", "/usr", !c.OS.Packages.empty()},
		{"os.groups", "/etc/group", len(c.OS.Groups) > 0},
		{"os.users", "/etc/passwd", len(c.OS.Users) > 0},
		{"os.services", "/etc/systemd/system", len(c.OS.Services.Enable)+len(c.OS.Services.Disable) > 0},
		{"os.modules", "/etc/modules-load.d", len(c.OS.Modules) > 0},
		{"os.kernelCommandLine", "/etc/default/grub", len(c.OS.KernelCommandLine.Extra) > 0},
		{"os.selinux", selinuxConfig, c.OS.SELinux.Mode != ""},
		{"os.overlays", fstabFile, len(c.OS.Overlays) > 0},
		{"storage.verity", fstabFile, len(c.Storage.Verity) > 0},
	} {
		if x.used {
			refuse(x.key, x.path)
		}
	}
	c.eachDestination(refuse)
	return problems
}

// covered finds files that the config would put where a disk will be mounted that the image only gets where
// it runs. What scripts write cannot be known; the kernel refuses it.
func (c *Config) covered(f *machine.Facts) (problems []plan.Problem) {
	c.eachDestination(func(key, name string) {
		for _, dir := range f.Covered {
			if name = path.Clean(name); (name == dir || below(name, dir)) && !c.Storage.mountsAt(dir) {
				problems = append(problems, plan.Problem{
					Step: key, Text: fmt.Sprintf("%s lies where /etc/fstab of the image mounts a disk that it gets where it runs", name),
					Hint: "put it on the image's own disk, and have a service copy it at boot",
				})
			}
		}
	})
	for i, u := range c.OS.Users {
		home := path.Clean(cmp.Or(string(u.HomeDirectory), "/home/"+string(u.Name)))
		for _, dir := range f.Covered {
			if len(u.SSHPublicKeys)+len(u.SSHPublicKeyPaths) > 0 && in(dir, home) && !c.Storage.mountsAt(dir) {
				problems = append(problems, plan.Problem{
					Step: "os.users", Path: fmt.Sprintf("os.users[%d]", i),
					Text: fmt.Sprintf("the keys of %s would lie in %s, where /etc/fstab of the image mounts a disk that it gets where it runs", u.Name, home),
					Hint: "give the user a homeDirectory on the image's own disk",
				})
			}
		}
	}
	return problems
}

// mountsAt tells whether the config has a filesystem of its own mounted there.
func (s *Storage) mountsAt(dir string) bool {
	return slices.ContainsFunc(s.mounts(nil), func(m mount) bool { return m.Path == dir })
}

// eachDestination calls f with every place that the config has files put to.
func (c *Config) eachDestination(f func(key, path string)) {
	for i, d := range c.OS.AdditionalDirs {
		f(fmt.Sprintf("os.additionalDirs[%d]", i), string(d.Destination))
	}
	for i, a := range c.OS.AdditionalFiles {
		f(fmt.Sprintf("os.additionalFiles[%d]", i), string(a.Destination))
	}
}

// recordable leaves out the records that would lie on a filesystem that stays sealed.
func (c *Config) recordable(p plan.Plan, f *machine.Facts) plan.Plan {
	if len(c.Storage.Disks) > 0 {
		return p
	}
	return slices.DeleteFunc(p, func(s plan.Step) bool {
		file := historyFile
		if r, ok := s.(WriteRelease); ok {
			file = r.File
		}
		return f.FilesystemOf(file).Kept
	})
}
