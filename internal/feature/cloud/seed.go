package cloud

import (
	"context"
	"fmt"
	"path"

	"imagecustomizer/internal/cloudinit"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
)

// seed writes the texts, which only root can read, in the place of those that were there. With a medium, the image has
// none: cloud-init would take those for its own.
func (s SetCloudInit) seed(ctx context.Context, m *machine.Machine) error {
	if err := m.Root.RemoveAll(cloudSeed); err != nil {
		return err
	}
	texts, err := s.texts()
	switch {
	case err != nil:
		return err
	case !s.Apart:
		return writeTexts(m, texts)
	case s.Medium == nil:
		return nil
	}
	return s.pack(ctx, m, texts)
}

// texts are those of the seed, by the names of their files, with what makes it one.
func (s SetCloudInit) texts() (map[string]string, error) {
	const meta = string(cloudinit.MetaData)
	texts := map[string]string{string(cloudinit.UserData): "", meta: ""}
	for k, t := range s.CloudInit.Seed.texts() {
		text, err := t.read()
		if err != nil {
			return nil, err
		}
		texts[string(k)] = text
	}
	if !cloudinit.Has(texts[meta], "instance-id") {
		texts[meta] = "instance-id: " + s.Instance + "\n" + texts[meta]
	}
	return texts, nil
}

func writeTexts(m *machine.Machine, texts map[string]string) error {
	if err := m.Root.MkdirAll(cloudSeed, 0o700); err != nil {
		return err
	}
	for name, text := range texts {
		if err := m.Root.WriteFile(path.Join(cloudSeed, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pack writes the medium. NoCloud knows it by its label.
func (s SetCloudInit) pack(ctx context.Context, m *machine.Machine, texts map[string]string) error {
	scratch, err := m.Scratch()
	if err != nil {
		return err
	}
	if err := liveos.Pack(ctx, scratch, s.Now, "cidata", texts, s.Medium); err != nil {
		return fmt.Errorf("write the ISO image with the seed: %w", err)
	}
	return nil
}

// lacksISO says why the medium cannot be written.
func (s SetCloudInit) lacksISO() string {
	if s.Apart && !hostcmd.Installed("xorriso") {
		return "this host has no program xorriso, which writes the ISO image with the seed"
	}
	return ""
}
