package secureboot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/signing"
)

// Kernels signs the kernels that a boot loader loads. What lies on the EFI system partition is signed when all else is
// done: unified kernel images hold the hash of the root.
type Kernels struct{ *SecureBoot }

// Touches names where kernels lie.
func (k Kernels) Touches() []feature.Touch {
	if len(k.Sign) > 0 && !slices.Contains(k.Sign, Kernel) {
		return nil
	}
	return []feature.Touch{{Path: "/boot"}}
}

// Record is nothing: who has signed a file, the file says.
func (Kernels) Record() (any, error) { return nil, nil }

// Plan makes the step.
func (k Kernels) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	if g.Sign == nil || !k.kernels(g.Facts.Boot) {
		return nil, nil
	}
	return plan.Plan{SignKernels{g.Sign}}, nil
}

// kernels tells whether kernels are to be signed of an image that boots like this.
func (b *SecureBoot) kernels(s boot.Scheme) bool {
	if len(b.Sign) > 0 {
		return slices.Contains(b.Sign, Kernel)
	}
	return s.Kind != boot.UKI && s.Kind != boot.Systemd
}

// Chosen are the kinds of programs that are signed, as package chain names them; none for the usual ones.
func (b *SecureBoot) Chosen() (kinds []chain.Kind) {
	names := map[Object]chain.Kind{Loader: chain.Loader, UKI: chain.UKI, Addon: chain.Addon, Kernel: chain.Kernel, Shim: chain.Shim}
	for _, o := range b.Sign {
		kinds = append(kinds, names[o])
	}
	return kinds
}

// SignKernels signs kernels.
type SignKernels struct{ maker *signing.Maker }

// Name identifies the step.
func (SignKernels) Name() string { return "signing.kernels" }

func (SignKernels) String() string { return "sign the kernels" }

// Check finds kernels that cannot be signed.
func (s SignKernels) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	files, err := chain.KernelFiles(m.Root)
	if err != nil {
		return []plan.Problem{{Step: s.Name(), Text: err.Error()}}
	}
	if len(files) == 0 {
		return []plan.Problem{{Step: s.Name(), Later: true, Text: "the image has no kernel to sign"}}
	}
	err = withTrusted(ctx, m, s.maker, func(maker *signing.Maker) error {
		for _, name := range files {
			if err := chain.CheckKernel(m.Root, name, maker); err != nil {
				problems = append(problems, plan.Problem{Step: s.Name(), Text: fmt.Sprintf("%s cannot be signed: %v", name, err)})
			}
			if hmac := path.Join(path.Dir(name), "."+path.Base(name)+".hmac"); m.Root.Exists(hmac) {
				problems = append(problems, plan.Problem{
					Step: s.Name(), Text: fmt.Sprintf("%s holds a checksum of the kernel, which the system compares in FIPS mode: with another signature it would not start", hmac),
					Hint: "leave \"kernel\" out of signing.secureBoot.sign, or remove that file if the system does not run in FIPS mode",
				})
			}
		}
		return nil
	})
	if err != nil {
		problems = append(problems, plan.Problem{Step: s.Name(), Text: err.Error()})
	}
	return problems
}

// Replaces lists the kernels.
func (SignKernels) Replaces(m *machine.Machine) (list []plan.Replaced) {
	files, _ := chain.KernelFiles(m.Root) // what cannot be read is said by Check
	for _, f := range files {
		list = append(list, plan.Replaced{File: f})
	}
	return list
}

// Run signs them.
func (s SignKernels) Run(ctx context.Context, m *machine.Machine) error {
	files, err := chain.KernelFiles(m.Root)
	if err != nil {
		return err
	}
	return withTrusted(ctx, m, s.maker, func(maker *signing.Maker) error {
		for _, name := range files {
			if _, err := maker.Sign(ctx, m.Root, name, name, string(chain.Kernel)); err != nil {
				return err
			}
		}
		return nil
	})
}

// withTrusted calls f with those whom the image trusts: Microsoft, and who vouches for its shims.
func withTrusted(ctx context.Context, m *machine.Machine, maker *signing.Maker, f func(*signing.Maker) error) error {
	with := *maker
	with.Trusted = signing.MicrosoftBootCAs()
	var err error
	looked := m.Opened().LookAtESP(ctx, func(mounts []image.Mounted) {
		esp := m.Opened().ESP()
		for _, mounted := range mounts {
			if esp != nil && mounted.Volume.Number == esp.Number {
				err = m.Root.WithSub(mounted.Path, func(root *rootfs.Root) error {
					vendors, err := chain.Vendors(root)
					with.Trusted = append(with.Trusted, vendors...)
					return err
				})
			}
		}
		if err == nil {
			err = f(&with)
		}
	})
	return errors.Join(err, looked)
}
