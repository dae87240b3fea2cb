package live

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/plan"
)

// PXE says what the files for booting over the network are like. Put them where a TFTP server offers
// them, and have it name bootx64.efi as the file to boot.
type PXE struct {
	KernelCommandLine booting.KernelCommandLine `yaml:"kernelCommandLine" doc:"Kernel arguments that only the network boot gets, behind those of the image."`
	AdditionalFiles   []files.AdditionalFile    `yaml:"additionalFiles" doc:"Files to add. The destination is a path from the top of the folder."`
	InitramfsType     InitramfsType             `yaml:"initramfsType" default:"full-os" doc:"Whether the initramfs is the system, or downloads an ISO image with it."`
	KdumpBootFiles    KdumpBootFiles            `yaml:"kdumpBootFiles" default:"none" doc:"Whether the system keeps its kdump images in /boot."`
	BootstrapBaseURL  BootURL                   `yaml:"bootstrapBaseUrl" doc:"Folder from which the initramfs downloads image.iso, for the type bootstrap." example:"http://192.0.2.1/live"`
	BootstrapFileURL  BootURL                   `yaml:"bootstrapFileUrl" doc:"Where the initramfs downloads the ISO image, instead of bootstrapBaseUrl. Its last part is the name of the file."`
}

// BootURL is where something is downloaded from at boot.
type BootURL string

// Describe tells how the address is written.
func (BootURL) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^(ftp|http|https|nfs|tftp)://[^ \t\n"'/][^ \t\n"']*$`}
}

// Validate checks that the initramfs can download from there.
func (u *BootURL) Validate(at *config.At) {
	schemes := []string{"ftp", "http", "https", "nfs", "tftp"}
	parsed, err := url.Parse(string(*u))
	if err != nil || !slices.Contains(schemes, parsed.Scheme) || parsed.Host == "" || strings.ContainsAny(string(*u), " \t\n\"'") {
		at.Errorf("%q is no address to download from: want one that begins with %s://", string(*u), strings.Join(schemes, "://, "))
	}
}

// Validate checks what belongs together.
func (p *PXE) Validate(at *config.At) {
	files.OneSource(at, p.AdditionalFiles)
	base, file := at.Has("bootstrapBaseUrl"), at.Has("bootstrapFileUrl")
	switch {
	case base && file:
		at.Field("bootstrapFileUrl").Errorf("bootstrapFileUrl and bootstrapBaseUrl exclude each other").Hint("keep one of them")
	case p.InitramfsType == "full-os" && (base || file):
		at.Field(p.url()).Errorf("a full-os initramfs downloads nothing").Hint("remove it, or say \"initramfsType: bootstrap\"")
	case p.InitramfsType == "" && (base || file):
		at.Field(p.url()).Warnf("the address is not used: a full-os initramfs, the default, downloads nothing").Hint("add \"initramfsType: bootstrap\"")
	}
}

// url is the key of the address that is given.
func (p PXE) url() string {
	if p.BootstrapBaseURL != "" {
		return "bootstrapBaseUrl"
	}
	return "bootstrapFileUrl"
}

// problems are what the config lacks for a network boot, if one is among the live media.
func (p *PXE) problems(media []liveos.Spec) []plan.Problem {
	network := slices.ContainsFunc(media, func(s liveos.Spec) bool { return s.Network })
	if !network || p.InitramfsType != "bootstrap" || p.BootstrapBaseURL != "" || p.BootstrapFileURL != "" {
		return nil
	}
	return []plan.Problem{{
		Path: "pxe.initramfsType", Text: "a bootstrap initramfs must know where to download the system from", Hint: "add bootstrapBaseUrl, or use the type full-os",
	}}
}

// spec is the network boot as it is to be made.
func (p PXE) spec() liveos.Spec {
	s := liveos.Spec{
		Network: true, FullOS: p.InitramfsType != "bootstrap", Args: booting.SplitArgs(p.KernelCommandLine.Extra),
		Files: mediumFiles(p.AdditionalFiles), KeepKdump: p.KdumpBootFiles == "keep", Filesystem: LiveRootFilesystem{}.spec(),
		URL: string(p.BootstrapFileURL),
	}
	if p.BootstrapBaseURL != "" {
		s.URL = strings.TrimSuffix(string(p.BootstrapBaseURL), "/") + "/image.iso"
	}
	s.ISOName = path.Base(s.URL)
	return s
}
