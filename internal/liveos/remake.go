package liveos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/rootfs"
)

// Remake writes a medium that this program has made anew, to the file out: with further kernel
// arguments and files. Everything else, the packed root filesystem above all, is copied as it is. dir
// is a folder for temporary files.
func Remake(ctx context.Context, in, out string, s Spec, dir string, now time.Time) (err error) {
	m, err := openMedium(ctx, in)
	if err != nil {
		return err
	}
	saved, err := m.saved()
	if err != nil {
		return err
	}
	root, err := emptyFolder(dir, "remade")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	saved.KernelArgs = append(saved.KernelArgs, s.Args...)
	changed := []string{"/" + savedConfig}
	if len(s.Args) > 0 {
		changed = append(changed, path.Clean("/"+saved.GrubConfig))
	}
	st := stage{root: root, spec: s}
	if err := errors.Join(addArgs(ctx, m, root, saved.GrubConfig, s.Args), st.additional()); err != nil {
		return err
	}
	for _, f := range saved.AdditionalFiles {
		if !slices.ContainsFunc(st.added, func(n SavedFile) bool { return n.Path == path.Clean("/"+f.Path) }) {
			st.added = append(st.added, f)
		}
	}
	saved.AdditionalFiles = st.added
	if err := writeSaved(root, saved); err != nil {
		return err
	}
	for _, f := range s.Files {
		changed = append(changed, path.Clean("/"+f.Destination))
	}
	args := []string{"-indev", in, "-outdev", "-", "-overwrite", "on"}
	for _, name := range changed {
		args = append(args, "-map", filepath.Join(dir, "remade", name), name)
	}
	file, err := os.OpenFile(out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(xorriso(ctx, now, append(args, "-boot_image", "any", "replay", "-padding", "0"), file, in, dir), file.Close())
}

// emptyFolder makes an empty folder in one of ours.
func emptyFolder(dir, name string) (*rootfs.Root, error) {
	work, err := rootfs.New(dir)
	if err != nil {
		return nil, err
	}
	defer work.Close()
	if err := errors.Join(work.RemoveAll(name), work.MkdirAll(name, 0o755)); err != nil {
		return nil, err
	}
	return work.Sub(name)
}

// saved is what a medium says of itself.
func (m *medium) saved() (saved Saved, err error) {
	text, err := m.text(savedConfig)
	if err != nil {
		return saved, fmt.Errorf("this ISO image was not made by this program: it has no %s: %w", savedConfig, err)
	}
	if err := json.Unmarshal([]byte(text), &saved); err != nil || saved.GrubConfig == "" {
		return saved, fmt.Errorf("this ISO image was not made by this program: its %s does not say where grub.cfg is", savedConfig)
	}
	return saved, nil
}

// addArgs writes the medium's menu with kernel arguments added to all entries.
func addArgs(ctx context.Context, m *medium, root *rootfs.Root, config string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text, err := m.text(config)
	if err != nil {
		return err
	}
	if err := putText(root, config, text); err != nil {
		return err
	}
	scheme := boot.Scheme{Kind: boot.Legacy, Config: config}
	return boot.Target{Root: root}.Apply(ctx, scheme, boot.Change{Add: args})
}

// Check looks whether a medium is whole: its menu names only files that are there, its boot loader finds the
// menu, and the packed root filesystem is as long as it says.
func Check(ctx context.Context, name string) error {
	m, err := openMedium(ctx, name)
	if err != nil {
		return err
	}
	saved, err := m.saved()
	if err != nil {
		return err
	}
	text, err := m.text(saved.GrubConfig)
	if err != nil {
		return err
	}
	script, err := grub.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", saved.GrubConfig, err)
	}
	for _, c := range script.Find("linux", "initrd") {
		name := c.Words[1].Value()
		if _, err := m.find(name); err != nil && m.links[path.Clean("/"+name)] == "" {
			return fmt.Errorf("%s:%d: %w", saved.GrubConfig, c.Line, err)
		}
	}
	if err := m.checkLoader(ctx); err != nil {
		return err
	}
	if saved.InitramfsType == initramfsType(true) {
		return nil
	}
	e, err := m.root()
	if err != nil {
		return err
	}
	return m.at(e, checkPacked)
}
