package app

import (
	"context"
	"os"
	"slices"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/feature/secureboot"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/signing"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/tempfile"
	"imagecustomizer/internal/ui"
)

// sign opens the keys of the config and has the job know what it must of them.
func (o CustomizeOptions) sign(j *job.Job, c *compose.Result, screen *ui.UI) error {
	s := &c.Config.Signing
	for _, maybe := range c.Maybe {
		if len(maybe.Signing.Keys) > 0 || len(maybe.Signing.UsedKeys()) > 0 {
			c.Report.Forget()
			c.Place("signing").Errorf("signing cannot depend on what the base image is: its keys are read before the image is")
			return reported(c.Report, screen)
		}
	}
	j.Hidden = hidden(s)
	j.Config = withoutKeyFiles(c.Config)
	if len(s.UsedKeys()) == 0 {
		return nil
	}
	c.Report.Forget()
	ring := openKeys(s, c.Place, j.Now)
	if err := reported(c.Report, screen); err != nil {
		return err
	}
	ring.forget(s)
	g := &guard{dir: o.BuildDir, traces: ring.traces}
	if key := ring.keys[s.SecureBoot.Key]; key != nil {
		g.programs, g.kinds = key, s.SecureBoot.Chosen()
		if len(g.kinds) == 0 {
			g.kinds = []chain.Kind{chain.Loader, chain.UKI, chain.Addon, chain.Kernel}
		}
		j.Signing.SecureBoot = policy(&s.SecureBoot, key)
	}
	j.Signer = g
	return nil
}

// policy is what the worker must know of signing programs.
func policy(b *secureboot.SecureBoot, key *signing.Key) *signing.Policy {
	p := &signing.Policy{Certificate: key.Certificate().Raw, Existing: signing.Existing(b.Existing), IgnoreSBAT: b.SBAT == secureboot.IgnoreSBAT}
	for _, k := range b.Chosen() {
		p.Kinds = append(p.Kinds, string(k))
	}
	return p
}

// withoutKeyFiles is the config as the worker gets it: it does not hear where keys are.
func withoutKeyFiles(c *step.Config) *step.Config {
	without := *c
	without.Signing.Keys = nil
	without.Layers = slices.Clone(c.Layers)
	for i, l := range without.Layers {
		if l != c {
			without.Layers[i] = withoutKeyFiles(l)
		}
	}
	return &without
}

// openToSign makes the file in which the worker puts what is to be signed.
func (f *openedFiles) openToSign(dir string, j *job.Job) (err error) {
	g, ok := j.Signer.(*guard)
	if !ok || j.DryRun {
		return nil
	}
	if g.given, err = tempfile.Scratch(dir); err != nil {
		return err
	}
	f.guard = g
	j.Hand(job.ToSign, g.given, "programs")
	return nil
}

// withoutKeys looks for private keys in all that was written.
func (f *openedFiles) withoutKeys(ctx context.Context) error {
	if f.guard == nil {
		return nil
	}
	list := []*os.File{f.disk}
	for _, o := range f.outputs {
		if o.Pending != nil {
			list = append(list, o.Pending.File())
		}
	}
	if f.artifacts != nil {
		list = append(list, f.artifacts.Pending.File())
	}
	return withoutKeys(ctx, f.guard.traces, list...)
}
