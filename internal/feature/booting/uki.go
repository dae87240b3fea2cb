package booting

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/plan"
)

// UKI says what becomes of unified kernel images.
type UKI struct {
	Mode      UKIMode      `yaml:"mode" default:"\"\"" doc:"create makes a unified kernel image of each kernel, at the end of the run, and has systemd-boot start them; modify changes the kernel arguments of those that there are, and nothing else; passthrough leaves them byte for byte. Without it, images that there are get the kernel arguments that the run adds, and stay otherwise."`
	Arguments UKIArguments `yaml:"arguments" doc:"Where the kernel arguments are: in an add-on beside the image, so that other arguments leave the image and its signature alone, or embedded in it. Who deletes an add-on takes its arguments away. Default: addon; embedded where the image's systemd is older than 254, whose images know no add-ons."`
	Kernels   UKIKernels   `yaml:"kernels" default:"all" doc:"Of which kernels images are made: all, newest, or a list of versions, as uname -r says them. Images of others are removed; their packages stay." example:"newest"`
}

// UKIMode is what becomes of unified kernel images.
type UKIMode string

// The modes.
const (
	UKICreate      UKIMode = "create"
	UKIModify      UKIMode = "modify"
	UKIPassthrough UKIMode = "passthrough"
)

// Values lists the modes.
func (UKIMode) Values() []string {
	return []string{"", string(UKICreate), string(UKIModify), string(UKIPassthrough)}
}

// UKIArguments is where kernel arguments are.
type UKIArguments string

// Both places.
const (
	UKIAddon    UKIArguments = "addon"
	UKIEmbedded UKIArguments = "embedded"
)

// Values lists the places.
func (UKIArguments) Values() []string { return []string{string(UKIAddon), string(UKIEmbedded)} }

// UKIKernels are versions of kernels, or one of the words all and newest.
type UKIKernels []KernelVersion

// KernelVersion is the version of a kernel, as uname -r says it.
type KernelVersion string

// Describe tells how it is written.
func (KernelVersion) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z0-9._+~-]+$`}
}

// kernelWord stands in the place of the list.
type kernelWord string

// Values lists the words.
func (kernelWord) Values() []string { return []string{"all", "newest"} }

// Forms are the ways to write it.
func (UKIKernels) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[kernelWord](), reflect.TypeFor[[]KernelVersion]()}
}

// TakesEmpty tells what may be left empty: an empty list could mean no kernel, or all.
func (UKIKernels) TakesEmpty(k config.Kind) bool { return k == config.Map }

// UnmarshalConfig takes a word, or a list.
func (k *UKIKernels) UnmarshalConfig(n *config.Node) {
	switch n.Kind() {
	case config.Text:
		*k = UKIKernels{KernelVersion(n.Text())}
		if !slices.Contains(kernelWord("").Values(), n.Text()) {
			n.At().Errorf("%q is neither all nor newest", n.Text()).Hint("write one of them, or a list of versions")
		}
	default:
		var list []KernelVersion
		n.Decode(&list)
		*k = list
	}
}

// onlyCreate are the keys that need mode create.
var onlyCreate = []string{"arguments", "kernels"}

// Validate finds what is without meaning in a mode.
func (u *UKI) Validate(at *config.At) {
	for _, key := range onlyCreate {
		if at.Has(key) && u.Mode != UKICreate {
			at.Key(key).Errorf("%s is for images that are made", key).Hint("add \"mode: create\" beside it")
		}
	}
}

// Used tells whether a mode is asked for.
func (u UKI) Used() bool { return u.Mode != "" }

// Creates tells whether images are made.
func (u UKI) Creates() bool { return u.Mode == UKICreate }

// Touches are files on the EFI system partition, on which nothing else lies.
func (UKI) Touches() []feature.Touch { return nil }

// Record is the section.
func (u UKI) Record() (any, error) {
	return feature.RecordIf(u.Used(), map[string]any{"mode": u.Mode, "arguments": u.Arguments, "kernels": u.Kernels})
}

// Plan makes the images, or refuses what a mode excludes: arguments of images that there are change with all others.
func (u UKI) Plan(g *feature.Given) (p plan.Plan, problems []plan.Problem) {
	refuse := func(hint, format string, args ...any) {
		problems = append(problems, plan.Problem{Path: "os.uki.mode", Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if u.Creates() {
		return plan.Plan{MakeUKIs{u}}, nil
	}
	if g.Facts.Boot.Kind != boot.UKI || g.NewDisk {
		refuse("use create", "the mode %s is for unified kernel images, and the image boots none (%s)", u.Mode, g.Facts.Boot)
		return nil, problems
	}
	for what, asked := range map[string]bool{
		"os.bootloader.resetType":                  g.Reset,
		"os.selinux.mode":                          u.Mode == UKIPassthrough && g.SELinux != "",
		"os.kernelCommandLine.extraCommandLine":    u.Mode == UKIPassthrough && len(g.Args) > 0,
		"os.overlays that the initramfs has to do": g.EtcEarly,
	} {
		if asked {
			refuse("use create, or leave "+what+" out", "the mode %s leaves the unified kernel images as they are, and %s would change what is in them", u.Mode, what)
		}
	}
	slices.SortFunc(problems, func(a, b plan.Problem) int { return strings.Compare(a.Text, b.Text) })
	return nil, problems
}

// wants tells whether an image is made of a kernel, of all that there are, in their order.
func (k UKIKernels) wants(version string, all []string) bool {
	switch {
	case len(k) == 0 || slices.Equal(k, UKIKernels{"all"}):
		return true
	case slices.Equal(k, UKIKernels{"newest"}):
		return version == all[len(all)-1]
	}
	return slices.Contains(k, KernelVersion(version))
}

// Validate checks that it can be one.
func (k *KernelVersion) Validate(at *config.At) {
	if !k.Describe().Fits(string(*k)) {
		at.Errorf("%q is no version of a kernel", string(*k)).Hint("write it as uname -r prints it, such as 6.12.9-amd64")
	}
}
