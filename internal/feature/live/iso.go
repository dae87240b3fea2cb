// Package live is what a config says of live media: the ISO image and the files for a network boot (iso, pxe).
package live

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// ISO says what a LiveOS ISO image (output format iso) is like.
type ISO struct {
	KernelCommandLine booting.KernelCommandLine `yaml:"kernelCommandLine" doc:"Kernel arguments that only the ISO image gets, behind those of the image."`
	AdditionalFiles   []files.AdditionalFile    `yaml:"additionalFiles" doc:"Files to put onto the medium, beside the system. The destination is a path from the medium's root. Where the base image is an ISO image, what it was given so stays."`
	InitramfsType     InitramfsType             `yaml:"initramfsType" default:"bootstrap" doc:"Whether the initramfs finds the system on the medium, or is the system. Like persistence and rootFilesystem, it stays as it was where the base image is an ISO image."`
	KdumpBootFiles    KdumpBootFiles            `yaml:"kdumpBootFiles" default:"none" doc:"Whether the system on the medium keeps its kdump images in /boot."`
	Persistence       Persistence               `yaml:"persistence" doc:"Keeps changes on the USB stick that the medium was written to."`
	RootFilesystem    LiveRootFilesystem        `yaml:"rootFilesystem" doc:"How the system on the medium is packed."`
}

// Validate checks what excludes each other.
func (i *ISO) Validate(at *config.At) {
	files.OneSource(at, i.AdditionalFiles)
	if i.InitramfsType != "full-os" {
		return
	}
	if i.Persistence.Label != "" {
		at.Field("persistence").Errorf("a full-os initramfs keeps no changes").Hint("remove persistence, or use initramfsType: bootstrap")
	}
	if i.RootFilesystem != (LiveRootFilesystem{}) {
		at.Field("rootFilesystem").Errorf("with a full-os initramfs the medium has no packed root filesystem").Hint("remove rootFilesystem, or use initramfsType: bootstrap")
	}
}

// Keep fills in what the config leaves open with what the medium was made with that the base image is.
func (i *ISO) Keep(s liveos.Saved) {
	if i.InitramfsType == "" {
		i.InitramfsType = InitramfsType(s.InitramfsType)
	}
	if i.InitramfsType == "full-os" {
		return
	}
	if i.Persistence == (Persistence{}) {
		i.Persistence.Label = PersistenceLabel(s.Persistence)
	}
	if i.RootFilesystem == (LiveRootFilesystem{}) {
		i.RootFilesystem = LiveRootFilesystem{LiveFilesystemType(s.Filesystem.Type), s.Filesystem.Level}
	}
}

// InitramfsType is a kind of initramfs of a live medium.
type InitramfsType string

// Values lists the kinds.
func (InitramfsType) Values() []string { return []string{"bootstrap", "full-os"} }

// KdumpBootFiles says what becomes of the kdump images of the system.
type KdumpBootFiles string

// Values lists the choices.
func (KdumpBootFiles) Values() []string { return []string{"none", "keep"} }

// Persistence keeps the changes that are made to a running live system.
type Persistence struct {
	Label    PersistenceLabel `yaml:"label" doc:"Label of the ext4 filesystem that takes the changes. Where no disk has one, a partition is made on the first boot in the free space of the USB stick; a second boot entry keeps no changes. A CD, or a stick without 64 MiB of free space, keeps none. Required, unless disabled is set." example:"persistence"`
	Disabled bool             `yaml:"disabled" doc:"Changes are not kept, although they are by the ISO image that the base image is."`
}

// Validate checks that persistence is either on or off.
func (p *Persistence) Validate(at *config.At) {
	switch has := at.Has("label"); {
	case has && p.Disabled:
		at.Field("disabled").Errorf("persistence cannot have a label and be disabled").Hint("remove one of them")
	case !has && !p.Disabled:
		at.Errorf("label is missing").Hint("add \"label:\" here")
	}
}

// PersistenceLabel is the label of an ext4 filesystem.
type PersistenceLabel string

// Describe tells how the label is written.
func (PersistenceLabel) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z0-9._-]{1,16}$`, Except: "^" + liveos.Label + "$"}
}

// Validate checks that the label fits and cannot be mistaken.
func (l *PersistenceLabel) Validate(at *config.At) {
	const longest = 16
	s := string(*l)
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
	switch {
	case s == "" || len(s) > longest || !plain:
		at.Errorf("%q is no label: want 1 to %d letters, digits, dots, hyphens and underscores", s, longest)
	case s == liveos.Label:
		at.Errorf("%q is the label of the medium itself", s).Hint("choose another")
	}
}

// LiveRootFilesystem says how the root filesystem of a live medium is packed.
type LiveRootFilesystem struct {
	Type             LiveFilesystemType `yaml:"type" default:"squashfs" doc:"Filesystem. erofs also holds POSIX ACLs; it needs a kernel that has it."`
	CompressionLevel int                `yaml:"compressionLevel" default:"3" doc:"Level of compression: 1 to 22 of zstd for squashfs, 1 to 12 of lz4hc for erofs (default there: 9). Higher ones are smaller and slower." example:"15"`
}

// Validate checks that the level is one of the compressor's.
func (r *LiveRootFilesystem) Validate(at *config.At) {
	highest, name := 22, "zstd"
	if r.Type == "erofs" {
		highest, name = 12, "lz4hc"
	}
	if at.Has("compressionLevel") && (r.CompressionLevel < 1 || r.CompressionLevel > highest) {
		at.Field("compressionLevel").Errorf("%d is no level of %s: want 1 to %d", r.CompressionLevel, name, highest)
	}
}

// LiveFilesystemType is a filesystem for the system on a live medium.
type LiveFilesystemType string

// Values lists the filesystems.
func (LiveFilesystemType) Values() []string { return []string{"squashfs", "erofs"} }

func (r LiveRootFilesystem) spec() liveos.Filesystem {
	f := liveos.Filesystem{Type: "squashfs", Level: 3}
	if r.Type == "erofs" {
		f = liveos.Filesystem{Type: "erofs", Level: 9}
	}
	if r.CompressionLevel != 0 {
		f.Level = r.CompressionLevel
	}
	return f
}

// spec is the ISO image as it is to be made.
func (i ISO) spec() liveos.Spec {
	return liveos.Spec{
		FullOS: i.InitramfsType == "full-os", Args: booting.SplitArgs(i.KernelCommandLine.Extra), Files: mediumFiles(i.AdditionalFiles),
		KeepKdump: i.KdumpBootFiles == "keep", Persistence: string(i.Persistence.Label), Filesystem: i.RootFilesystem.spec(),
	}
}

func mediumFiles(list []files.AdditionalFile) (files []liveos.File) {
	for _, f := range list {
		m := liveos.File{Source: f.Source.Resolved, Content: f.Content, Destination: path.Clean(string(f.Destination))}
		if f.Content != nil {
			m.Mode = 0o644
		}
		if f.Permissions.Set {
			m.Mode = f.Permissions.Mode
		}
		files = append(files, m)
	}
	return files
}

// LiveMedia are what a config says of both kinds of live media.
type LiveMedia struct {
	ISO *ISO
	PXE *PXE
}

// Specs are the live media among the outputs of a run.
func (l LiveMedia) Specs(g *feature.Given) (media []liveos.Spec) {
	for _, name := range g.Outputs {
		format, err := diskformat.Parse(name)
		if err != nil || !format.Live {
			continue
		}
		s := l.ISO.spec()
		if format.Network {
			s = l.PXE.spec()
		} else {
			s.Args, s.Files = append(slices.Clone(g.MediumArgs), s.Args...), liveos.Replaced(g.MediumFiles, s.Files)
		}
		s.Format, s.SELinux = name, g.Labels()
		media = append(media, s)
	}
	return media
}

// PlanCheck looks at what the image lacks, where no script may bring it.
func (l LiveMedia) PlanCheck(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	if specs := l.Specs(g); len(specs) > 0 && !g.Scripts {
		p = plan.Plan{CheckLive{Specs: specs, Later: g.Packages, SELinux: g.SELinux != ""}}
	}
	return p, nil
}

// PlanPrepare has the image's programs make what live media need.
func (l LiveMedia) PlanPrepare(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	specs := l.Specs(g)
	if len(specs) == 0 {
		return nil, nil
	}
	if g.Scripts {
		p = plan.Plan{CheckLive{Specs: specs, Later: true, SELinux: g.SELinux != ""}}
	}
	return append(p, PrepareLive{specs, g.Live}), l.PXE.problems(specs)
}

// CheckLive looks for what the image lacks for a live medium.
type CheckLive struct {
	Specs   []liveos.Spec
	Later   bool // packages or scripts of the run may still bring what is missing
	SELinux bool // the config asks for SELinux; otherwise it is off where a live medium cannot have it
}

// Name identifies the step.
func (CheckLive) Name() string { return "live.check" }

// Stage is the part of the run that it belongs to.
func (CheckLive) Stage() plan.Stage { return plan.Check }

func (CheckLive) String() string { return "check that the image has what a live medium needs" }

// Check reports what is missing and will stay so.
func (s CheckLive) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	for _, l := range s.lacks(ctx, m) {
		if !s.Later || l.Package == "" {
			problems = append(problems, plan.Problem{Text: l.What, Hint: l.Hint})
		}
	}
	return problems
}

// lacks is what any of the media needs and the image lacks, each thing once.
func (s CheckLive) lacks(ctx context.Context, m *machine.Machine) (list []liveos.Lack) {
	seen := map[liveos.Lack]bool{}
	for _, spec := range s.Specs {
		all := liveos.Lacks(m, spec)
		if l := liveos.SELinuxLack(ctx, m, spec); l != nil && s.SELinux {
			all = append(all, *l)
		}
		for _, l := range all {
			if !seen[l] {
				seen[l] = true
				list = append(list, l)
			}
		}
	}
	return list
}

// Run fails where something is missing still.
func (s CheckLive) Run(ctx context.Context, m *machine.Machine) error {
	var text []string
	for _, l := range s.lacks(ctx, m) {
		line := l.What
		if l.Hint != "" {
			line += " (" + l.Hint + ")"
		}
		text = append(text, line)
	}
	if len(text) == 0 {
		return nil
	}
	return fmt.Errorf("no live medium can be made of the image:\n  %s", strings.Join(text, "\n  "))
}

// PrepareLive packs the system for live media, and has the image's programs make what else those need.
// It changes nothing in the image.
type PrepareLive struct {
	Specs []liveos.Spec
	Maker *liveos.Maker
}

// Name identifies the step.
func (PrepareLive) Name() string { return "live.prepare" }

// Stage is the part of the run that it belongs to.
func (PrepareLive) Stage() plan.Stage { return plan.Output }

func (s PrepareLive) String() string {
	return "pack the system of the live medium, and make its initramfs and boot loader"
}

// Run makes them.
func (s PrepareLive) Run(ctx context.Context, m *machine.Machine) error {
	return s.Maker.Prepare(ctx, m, s.Specs)
}
