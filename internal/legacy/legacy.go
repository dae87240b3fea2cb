// Package legacy reads the config schema of 2023, whose sections are called SystemConfig and Disks,
// and lowers it into today's. It knows nothing of running.
package legacy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/feature/users"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/step"
)

// TopKeys are the keys by which the schema of 2023 is told.
var TopKeys = []string{"SystemConfig", "Disks"}

// Load decodes a config of either schema, told apart by its top-level keys.
func Load(doc *config.Document, o config.Options) *step.Config {
	var old, today []string
	for _, k := range doc.Keys() {
		if slices.Contains(TopKeys, k) {
			old = append(old, k)
		} else {
			today = append(today, k)
		}
	}
	switch {
	case len(old) > 0 && len(today) > 0 && isToday(today[0]):
		doc.At().Key(old[0]).Errorf("%s belongs to the config schema of 2023, and %s to today's: a config has one of them", old[0], today[0]).
			Hint("write it all in today's schema: SystemConfig is called os there")
		return &step.Config{}
	case len(old) > 0:
		return Lower(doc, o)
	}
	return step.Decode(doc, o)
}

// WarnEmpty warns of a config that asks for nothing.
func WarnEmpty(doc *config.Document, c *step.Config) {
	if !doc.At().Broken() && reflect.DeepEqual(c, &step.Config{}) {
		doc.At().Warnf("the config is empty: the image will only get a release file and a history entry")
	}
}

// Is2023 tells whether a document is in the schema of 2023.
func Is2023(doc *config.Document) bool {
	return slices.ContainsFunc(doc.Keys(), func(k string) bool { return slices.Contains(TopKeys, k) })
}

// isToday tells whether a key belongs to today's schema.
func isToday(key string) bool {
	for _, f := range config.Fields(step.Root) {
		if f.Key == key {
			return true
		}
	}
	_, known := step.Unsupported[key]
	return known
}

// Config is a whole config file in the schema of 2023.
type Config struct {
	Disks        []Disk       `yaml:"Disks" doc:"The new disk; exactly one. Needs SystemConfig.BootType."`
	SystemConfig SystemConfig `yaml:"SystemConfig" doc:"What to change in the system."`
}

// SystemConfig is what to change in the system.
type SystemConfig struct {
	BootType                feature.BootType       `yaml:"BootType" doc:"storage.bootType. Needs Disks."`
	PartitionSettings       []PartitionSetting     `yaml:"PartitionSettings" doc:"storage.filesystems[].mountPoint"`
	Hostname                system.Hostname        `yaml:"Hostname" doc:"os.hostname"`
	UpdateBaseImagePackages bool                   `yaml:"UpdateBaseImagePackages" doc:"os.packages.updateExistingPackages"`
	PackageListsInstall     []packages.PackageList `yaml:"PackageListsInstall" doc:"os.packages.installLists"`
	PackagesInstall         []packages.PackageName `yaml:"PackagesInstall" doc:"os.packages.install"`
	PackageListsRemove      []packages.PackageList `yaml:"PackageListsRemove" doc:"os.packages.removeLists"`
	PackagesRemove          []packages.PackageName `yaml:"PackagesRemove" doc:"os.packages.remove"`
	PackageListsUpdate      []packages.PackageList `yaml:"PackageListsUpdate" doc:"os.packages.updateLists"`
	PackagesUpdate          []packages.PackageName `yaml:"PackagesUpdate" doc:"os.packages.update"`
	Verity                  *Verity                `yaml:"Verity" doc:"storage.verity, for the root filesystem; damage makes the kernel panic."`
	KernelCommandLine       KernelCommandLine      `yaml:"KernelCommandLine" doc:"os.kernelCommandLine"`
	AdditionalFiles         AdditionalFiles        `yaml:"AdditionalFiles" doc:"os.additionalFiles, as a mapping from source to destination: a path, an object with Path and Permissions, or a list of these."`
	PostInstallScripts      []Script               `yaml:"PostInstallScripts" doc:"scripts.postCustomization"`
	FinalizeImageScripts    []Script               `yaml:"FinalizeImageScripts" doc:"scripts.finalizeCustomization"`
	Users                   []User                 `yaml:"Users" doc:"os.users"`
	Services                Services               `yaml:"Services" doc:"os.services; an item is a name or an object with Name."`
	Modules                 Modules                `yaml:"Modules" doc:"os.modules"`
}

// Validate finds what is in a list twice, or in two that exclude each other.
func (s *SystemConfig) Validate(at *config.At) {
	feature.Unique(at.Field("Users"), "Name", s.Users, func(u User) string { return string(u.Name) })
	feature.Unique(at.Field("Users"), "UID", s.Users, func(u User) string {
		if u.UID == nil {
			return ""
		}
		return strconv.Itoa(*u.UID)
	})
	packages.CheckPackages(at.Field("PackagesRemove"), at.Field("PackagesInstall"), at.Field("PackagesUpdate"), s.PackagesRemove, s.PackagesInstall, s.PackagesUpdate)
	modules := at.Field("Modules")
	feature.Unique(modules.Field("Load"), "Name", s.Modules.Load, Module.String)
	feature.Unique(modules.Field("Disable"), "Name", s.Modules.Disable, Module.String)
	exclusive(modules.Field("Disable"), s.Modules.Disable, s.Modules.Load, "loaded and disabled")
	exclusive(at.Field("Services").Field("Disable"), s.Services.Disable, s.Services.Enable, "enabled and disabled")
}

// exclusive refuses items of the list at a place that the other list has too.
func exclusive[T interface {
	comparable
	fmt.Stringer
}](at *config.At, items, other []T, both string) {
	for i, item := range items {
		if slices.Contains(other, item) {
			at.Index(i).Errorf("%s is to be %s", item, both).Hint("remove it from one of the lists")
		}
	}
}

// KernelCommandLine says what to add to the kernel's arguments.
type KernelCommandLine struct {
	ExtraCommandLine ExtraCommandLine `yaml:"ExtraCommandLine" doc:"Kernel arguments, separated by spaces."`
}

// ExtraCommandLine is a text of kernel arguments.
type ExtraCommandLine string

// Describe tells how arguments are written.
func (ExtraCommandLine) Describe() config.Form {
	return config.Form{Kind: "text", Except: "[\n'\"\\\\$`]"}
}

// Validate refuses what the schema of 2023 forbade.
func (e *ExtraCommandLine) Validate(at *config.At) {
	if i := strings.IndexAny(string(*e), "\n'\"\\$`"); i >= 0 {
		at.Errorf("ExtraCommandLine holds %q, which is not allowed", string(*e)[i:i+1]).
			Hint("use os.kernelCommandLine.extraCommandLine of today's schema, which quotes what needs it")
	}
}

// Script is a script of the config's folder.
type Script struct {
	Path config.Path `yaml:"Path" required:"true" doc:"File below the config file's folder; it must be executable."`
	Args string      `yaml:"Args" doc:"Text that the shell puts behind the path."`
}

// Validate checks where the script lies, and that it can be started.
func (s *Script) Validate(at *config.At) { scripts.CheckStarted(s.Path, at.Field("Path")) }

// Services are the systemd units that start at boot, or no longer do.
type Services struct {
	Enable  []Service `yaml:"Enable" doc:"os.services.enable"`
	Disable []Service `yaml:"Disable" doc:"os.services.disable"`
}

// Service is a unit, written as a name or as an object with a name.
type Service struct{ Name services.UnitName }

func (s Service) String() string { return string(s.Name) }

// named is a service written as a mapping.
type named struct {
	Name services.UnitName `yaml:"Name" required:"true" doc:"Name of the service."`
}

// Forms are the ways to write it.
func (Service) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[services.UnitName](), reflect.TypeFor[named]()}
}

// UnmarshalConfig takes both forms.
func (s *Service) UnmarshalConfig(n *config.Node) {
	if n.Kind() == config.Text {
		n.Decode(&s.Name)
		return
	}
	var m named
	n.Decode(&m)
	s.Name = m.Name
}

// Modules are kernel modules.
type Modules struct {
	Load    []Module `yaml:"Load" doc:"Modules to load at boot."`
	Disable []Module `yaml:"Disable" doc:"Modules to keep from loading."`
}

// Module is one kernel module.
type Module struct {
	Name system.ModuleName `yaml:"Name" required:"true" doc:"Name of the module."`
}

func (m Module) String() string { return string(m.Name) }

// User is a user to add or change.
type User struct {
	Name                users.AccountName   `yaml:"Name" required:"true" doc:"os.users[].name"`
	UID                 *int                `yaml:"UID" min:"0" max:"60000" doc:"os.users[].uid; not looked at where the user exists."`
	PasswordHashed      bool                `yaml:"PasswordHashed" doc:"Whether the password is a hash already."`
	Password            string              `yaml:"Password" secret:"true" doc:"The password or its hash."`
	PasswordPath        users.PasswordFile  `yaml:"PasswordPath" doc:"File with the password or its hash."`
	PasswordExpiresDays *int                `yaml:"PasswordExpiresDays" min:"-1" max:"99999" doc:"os.users[].passwordExpiresDays"`
	SSHPubKeyPaths      []users.KeyFile     `yaml:"SSHPubKeyPaths" doc:"os.users[].sshPublicKeyPaths"`
	SSHPubKeys          []users.SSHKey      `yaml:"SSHPubKeys" doc:"os.users[].sshPublicKeys"`
	PrimaryGroup        users.AccountRef    `yaml:"PrimaryGroup" doc:"os.users[].primaryGroup"`
	SecondaryGroups     []users.AccountName `yaml:"SecondaryGroups" doc:"os.users[].secondaryGroups"`
	StartupCommand      users.Command       `yaml:"StartupCommand" doc:"os.users[].startupCommand"`
}

// Validate checks files, and that there is one password at most.
func (u *User) Validate(at *config.At) {
	if u.Password != "" {
		users.CheckPassword(u.Password, u.PasswordHashed, at.Field("Password"))
	}
	if u.Password != "" && at.Has("PasswordPath") {
		at.Field("PasswordPath").Errorf("PasswordPath and Password exclude each other").Hint("keep one of them")
	}
	u.PasswordPath.Check(u.PasswordHashed, at.Field("PasswordPath"))
}

// lower is the user in today's schema.
func (u User) lower() users.User {
	s := users.User{
		Name: u.Name, UID: u.UID, LenientUID: true, PasswordExpiresDays: u.PasswordExpiresDays, SSHPublicKeyPaths: u.SSHPubKeyPaths,
		SSHPublicKeys: u.SSHPubKeys, PrimaryGroup: u.PrimaryGroup, SecondaryGroups: u.SecondaryGroups, StartupCommand: u.StartupCommand,
	}
	kind := users.PasswordType("plain-text")
	if u.PasswordHashed {
		kind = "hashed"
	}
	switch {
	case u.Password != "":
		s.Password = &users.Password{Type: kind, Value: u.Password}
	case u.PasswordPath.Resolved != "":
		s.Password = &users.Password{Type: kind + "-file", Value: u.PasswordPath.Text, File: u.PasswordPath}
	}
	return s
}

// Lower decodes a config in the schema of 2023 and returns it in today's.
func Lower(doc *config.Document, o config.Options) *step.Config {
	var old Config
	o.Unsupported = nil
	doc.Decode(&old, o)
	s := old.SystemConfig
	c := &step.Config{Lowered: true, Storage: old.storage()}
	old.addVerity(&c.Storage)
	if len(c.Storage.Disks) > 0 {
		c.OS.Bootloader.ResetType = booting.HardReset
	}
	c.OS.Hostname = s.Hostname
	c.OS.Packages = packages.Packages{
		UpdateExisting: s.UpdateBaseImagePackages, InstallLists: s.PackageListsInstall, Install: s.PackagesInstall,
		RemoveLists: s.PackageListsRemove, Remove: s.PackagesRemove, UpdateLists: s.PackageListsUpdate, Update: s.PackagesUpdate,
	}
	if args, err := kargs.Split(string(s.KernelCommandLine.ExtraCommandLine)); err == nil {
		for _, a := range args {
			c.OS.KernelCommandLine.Extra = append(c.OS.KernelCommandLine.Extra, booting.KernelArgs(a))
		}
	}
	c.OS.AdditionalFiles = s.AdditionalFiles.list
	for _, u := range s.Users {
		c.OS.Users = append(c.OS.Users, u.lower())
	}
	for _, e := range s.Services.Enable {
		c.OS.Services.Enable = append(c.OS.Services.Enable, e.Name)
	}
	for _, d := range s.Services.Disable {
		c.OS.Services.Disable = append(c.OS.Services.Disable, d.Name)
	}
	for _, m := range s.Modules.Load {
		c.OS.Modules = append(c.OS.Modules, system.Module{Name: m.Name, LoadMode: "always"})
	}
	for _, m := range s.Modules.Disable {
		c.OS.Modules = append(c.OS.Modules, system.Module{Name: m.Name, LoadMode: "disable"})
	}
	c.Scripts.PostCustomization = lowerScripts(s.PostInstallScripts)
	c.Scripts.FinalizeCustomization = lowerScripts(s.FinalizeImageScripts)
	return c
}

// environment is what scripts of 2023 found set.
var environment = map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

func lowerScripts(list []Script) (lowered []scripts.Script) {
	for _, s := range list {
		lowered = append(lowered, scripts.Script{Path: s.Path, ShellLine: fmt.Sprint(s.Args, " "), EnvironmentVariables: maps.Clone(environment)})
	}
	return lowered
}
