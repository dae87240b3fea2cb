package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/artifact"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// onESP are the kinds of artifacts that lie on the EFI system partition.
func onESP(kinds []artifact.Kind) []artifact.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k artifact.Kind) bool { return k == artifact.VerityHash })
}

// checkArtifacts looks for artifacts that the image does not have, as far as that is known: a run that installs
// packages or sets up the boot loader may bring them.
func (w *worker) checkArtifacts(ctx context.Context) (problems []plan.Problem) {
	if w.job.Artifacts == nil {
		return nil
	}
	add := func(format string, args ...any) {
		problems = append(problems, plan.Problem{Step: "output.artifacts", Path: "output.artifacts.items", Text: fmt.Sprintf(format, args...)})
	}
	kinds, d := onESP(w.job.Artifacts.Kinds), w.machine.Opened()
	if w.job.NewDisk() || w.job.Installs() || w.job.Config.OS.Bootloader.Used() || len(kinds) == 0 {
		return nil
	}
	esp := d.ESP()
	if esp == nil {
		add("the image has no EFI system partition, on which the artifacts lie")
		return problems
	}
	err := d.LookAtESP(ctx, func(mounts []image.Mounted) {
		i := slices.IndexFunc(mounts, func(m image.Mounted) bool { return m.Volume.Number == esp.Number })
		if i < 0 {
			return
		}
		root, err := d.Root.Sub(mounts[i].Path)
		if err == nil {
			_, err = artifact.OnESP(root, "", w.machine.Facts.Arch, kinds)
			err = errors.Join(err, root.Close())
		}
		if err != nil {
			add("%v", err)
		}
	})
	if err != nil {
		add("%v", err)
	}
	return problems
}

// artifacts writes what is to be signed, out of the finished disk.
func (w *worker) artifacts(ctx context.Context) error {
	out, kinds, d := w.job.File(w.job.Artifacts.Resource), onESP(w.job.Artifacts.Kinds), w.machine.Opened()
	hashes := w.rootHashes()
	if len(kinds) == 0 {
		return artifact.Write(out, nil, hashes, w.job.Now)
	}
	esp := d.ESP()
	if esp == nil {
		return errors.New("the image has no EFI system partition, on which the artifacts lie")
	}
	return d.Read(ctx, *esp, func(root *rootfs.Root) error {
		files, err := artifact.OnESP(root, esp.Partition.UUID, w.machine.Facts.Arch, kinds)
		if err != nil {
			return err
		}
		return artifact.Write(out, root, append(files, hashes...), w.job.Now)
	})
}

// rootHashes are the root hashes for which the image names a file with a signature.
func (w *worker) rootHashes() (files []artifact.File) {
	if !slices.Contains(w.job.Artifacts.Kinds, artifact.VerityHash) {
		return nil
	}
	for _, s := range w.named {
		at := s.Device.SignaturePath()
		if at == "" {
			slog.Warn("there is no artifact of a root hash, since no file is named for its signature", "device", s.Device.Name)
			continue
		}
		on := w.machine.Opened().MountOf(at)
		files = append(files, artifact.File{
			Kind: artifact.VerityHash, Partition: on.Volume.Partition.UUID, Content: []byte(s.Device.RootHash),
			Destination: "/" + strings.TrimPrefix(strings.TrimPrefix(at, on.Path), "/"), Source: path.Join(string(artifact.VerityHash), path.Base(at)),
		})
	}
	return files
}
