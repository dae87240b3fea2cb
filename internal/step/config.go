// Package step is a whole config and the run that it asks for. This file is the contents page of the config; order.go is
// that of the run. The sections are in internal/feature, by subject: one file each, with its part of the config, its
// validation, and its steps.
package step

import (
	"reflect"

	"imagecustomizer/internal/boottest"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/cloud"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/feature/generalize"
	"imagecustomizer/internal/feature/history"
	"imagecustomizer/internal/feature/live"
	"imagecustomizer/internal/feature/mounts"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/secureboot"
	"imagecustomizer/internal/feature/selinux"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/feature/users"
)

// Config is a whole config file in today's schema.
type Config struct {
	BaseConfigs     []BaseConfig       `yaml:"baseConfigs" doc:"Config files that this one builds on: each is carried out before it, in this order. See [base configs](composition.md)."`
	Input           Input              `yaml:"input" doc:"The base image."`
	Storage         storage.Storage    `yaml:"storage" doc:"Partitions and filesystems to make, to which the system is copied."`
	Rounds          Rounds             `yaml:"rounds" doc:"Parts of the customization that are carried out before the rest, one after the other. See [rounds](edit.md#rounds)."`
	OS              OS                 `yaml:"os" doc:"What to change in the system."`
	Scripts         scripts.Scripts    `yaml:"scripts" doc:"Scripts to run in the image."`
	ISO             live.ISO           `yaml:"iso" doc:"The LiveOS ISO image, for the output format iso. It takes dracut with its module dmsquash-live, or, where the image has initramfs-tools, live-boot, which has no persistence."`
	PXE             live.PXE           `yaml:"pxe" doc:"The files to boot from over the network, for the output formats pxe-dir and pxe-tar."`
	Output          Output             `yaml:"output" doc:"The image to write."`
	Test            boottest.Spec      `yaml:"test" doc:"What each output must do when it is booted, in a virtual machine, before it is published. See [boot tests](testing.md)."`
	Signing         secureboot.Signing `yaml:"signing" doc:"Keys, and what they sign: what boots the image. See [signing](signing.md)."`
	PreviewFeatures []PreviewFeature   `yaml:"previewFeatures" doc:"Names of preview features. Accepted for compatibility: nothing here needs one."`

	// Lowered is the schema a config of 2023 was lowered from; it decides which release files exist.
	Lowered bool `yaml:"-"`
	// Layers are the files of a config with base configs, each for itself, in the order in which they are carried
	// out. What the config says in all is in the fields above.
	Layers []*Config `yaml:"-"`

	Layer Layer `yaml:"-"` // what is known of one of these
}

// OS is the part of a config that changes the system in the image.
//
// A field whose type is a Feature is carried out where order.go says, or else among the others in the order of these
// fields, for the reason in the tag why.
type OS struct {
	Hostname          system.Hostname           `yaml:"hostname" doc:"Name of the machine: letters, digits, hyphens and dots. Written to /etc/hostname." why:"scripts may read it" example:"web-1"`
	Packages          packages.Packages         `yaml:"packages" doc:"Packages to remove, update and install."`
	Groups            users.Groups              `yaml:"groups" doc:"Groups that must exist." why:"users may be in them"`
	Users             users.Users               `yaml:"users" doc:"Users to add or change." why:"files may lie in a home directory"`
	AdditionalDirs    files.AdditionalDirs      `yaml:"additionalDirs" doc:"Folders to copy into the image." why:"files may replace single ones of a directory"`
	AdditionalFiles   files.AdditionalFiles     `yaml:"additionalFiles" doc:"Files to copy into the image, or to write there." why:"services may be units just copied"`
	Hosts             system.Hosts              `yaml:"hosts" doc:"Addresses and names to add to /etc/hosts. The lines of the image stay; a name to which they give another address is refused." why:"after the host name, which /etc/hosts follows, and files, which may be /etc/hosts"`
	Services          services.Services         `yaml:"services" doc:"Services to enable and disable." why:"packages and files bring units"`
	FirstBoot         scripts.FirstBoot         `yaml:"firstBoot" doc:"Scripts that run once, on each machine made of the image, in this order. What has ended never runs again." why:"packages and files bring units and interpreters that it names"`
	Modules           system.Modules            `yaml:"modules" doc:"Kernel modules to load, to keep from loading, and their options." why:"packages bring the files that it edits"`
	Locale            system.Locale             `yaml:"locale" doc:"Language of the system, and how it writes dates, numbers and the like. Locales that the image has the sources of are made." why:"packages bring the locales, and the sources of them"`
	Keymap            system.Keymap             `yaml:"keymap" doc:"What the keys of the console mean. The initramfs is made anew with it, for passphrases of disks." why:"packages bring the keymaps, and the initramfs has it too"`
	Sudo              users.SudoRules           `yaml:"sudo" doc:"Who may do what as somebody else. The image's visudo checks each rule." why:"users and groups are there, and packages bring visudo"`
	SSHD              users.SSHD                `yaml:"sshd" doc:"Who may log in over SSH, and how. The image's sshd is asked whether it would do so." why:"packages bring sshd, and files may be its settings"`
	CloudInit         cloud.CloudInit           `yaml:"cloudInit" doc:"What cloud-init does when the system starts. Texts for it are checked, by the image's own cloud-init too." why:"packages bring cloud-init, and files may be its settings"`
	Swap              mounts.Swap               `yaml:"swap" doc:"A file that the system swaps to." why:"packages and files may need the space first"`
	GrowOnBoot        mounts.GrowOnBoot         `yaml:"growOnBoot" default:"false" doc:"Whether the last filesystem of the disk grows with it when the system starts on a larger one. It takes systemd-repart and a GPT, or growpart of cloud-utils; where it cannot work, it is refused." why:"packages bring what grows it, and files may be /etc/fstab"`
	KernelCommandLine booting.KernelCommandLine `yaml:"kernelCommandLine" doc:"Kernel arguments to add."`
	Bootloader        booting.Bootloader        `yaml:"bootloader" doc:"What becomes of the boot loader."`
	UKI               booting.UKI               `yaml:"uki" doc:"What becomes of unified kernel images: EFI programs that hold a kernel, its initramfs and its arguments."`
	SELinux           selinux.SELinux           `yaml:"selinux" doc:"The mode of SELinux."`
	Overlays          mounts.Overlays           `yaml:"overlays" doc:"Overlay filesystems to mount at boot."`
	Timezone          system.Timezone           `yaml:"timezone" doc:"Time zone, by its name in the tz database. The image must have it: Debian 13 keeps old names in the package tzdata-legacy." why:"packages bring zones, and scripts may read the time" example:"Europe/Oslo"`
	Sysctl            system.Sysctl             `yaml:"sysctl" doc:"Kernel parameters to set at boot, by name. Written to /etc/sysctl.d/99-zz-image.conf, which is read behind the files of distributions." why:"packages bring files that win over it" example:"{net.ipv4.ip_forward: \"1\"}"`
	Generalize        generalize.Generalize     `yaml:"generalize" doc:"What to take out of the image so that machines made of it differ: the machine identifier, SSH host keys, seeds of random numbers, logs and more. See [generalize](generalize.md)."`
	ImageHistory      history.HistoryMode       `yaml:"imageHistory" default:"\"\"" doc:"Whether the image records how it was made, in /usr/share/image-customizer/history.json."`
}

// Unsupported maps the parts of the reference schema that are not supported yet to what to do
// without them.
var Unsupported = map[string]string{
	"input.image.oci":                  "download the image first and name it with input.image.path",
	"input.image.azureLinux":           "download the image first and name it with input.image.path",
	"os.packages.snapshotTime":         "name a repository snapshot in a .repo file (--rpm-source)",
	"os.packages.removePackageManager": "remove its packages in a finalizeCustomization script",
	"output.selinuxPolicyPath":         "copy the policy out in a later step",
}

// Decode decodes a document in today's schema.
func Decode(doc *config.Document, o config.Options) *Config {
	var c Config
	o.Unsupported = Unsupported
	doc.Decode(&c, o)
	return &c
}

// Validate checks what concerns several sections.
func (c *Config) Validate(at *config.At) {
	if len(c.Storage.Disks) > 0 && c.OS.Bootloader.ResetType == "" {
		at.Field("storage").Key("disks").Errorf("new disks need a boot loader set up from scratch").Hint("add \"os: {bootloader: {resetType: hard-reset}}\"")
	}
	if c.Storage.ResetUUIDs != "" && c.OS.Bootloader.ResetType == "" {
		at.Field("storage").Key("resetPartitionsUuidsType").Errorf("new identifiers need a boot loader set up from scratch").Hint("add \"os: {bootloader: {resetType: hard-reset}}\"")
	}
	if c.Output.SeedImage.Text != "" && c.OS.CloudInit.Seed == nil {
		at.Field("output").Key("seedImage").Errorf("there is no seed to write into an ISO image").Hint("add os.cloudInit.seed, or remove seedImage")
	}
	mounts.CheckOverlays(c.OS.Overlays, at.Field("os").Field("overlays"))
}

// PreviewFeature is the name of a feature that today's Image Customizer hides behind a gate.
type PreviewFeature string

// Values lists the names.
func (PreviewFeature) Values() []string {
	return []string{
		"uki", "output-artifacts", "inject-files", "reinitialize-verity", "package-snapshot-time", "kdump-boot-files",
		"preview-distro-version", "base-configs", "input-image-oci", "output-selinux-policy", "btrfs", "create",
		"unsupported-distro-version", "tools-dir", "remove-package-manager",
	}
}

// Root is the type of a whole config, for what is generated from it.
var Root = reflect.TypeFor[Config]()
