package liveos

import (
	"imagecustomizer/internal/boot"

	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/hostcmd"
)

// firstOnCD is the GRUB that, started from a CD, first looks at the medium itself, not at the EFI system
// partition that firmware found it on.
const firstOnCD = "2.12"

// checkLoader looks whether GRUB for UEFI finds its configuration, wherever it was built to look for it: on the
// EFI system partition, and on the medium itself.
func (m *medium) checkLoader(ctx context.Context) error {
	for _, name := range []string{"/efi/boot/grubx64.efi", "/efi/boot/grubaa64.efi"} {
		if _, err := m.find(name); err != nil {
			continue
		}
		var p *efi.Program
		if err := m.read(name, func(r *io.SectionReader) (err error) { p, err = efi.Read(r); return err }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := m.checkGRUB(ctx, name, p); err != nil {
			return err
		}
	}
	return nil
}

func (m *medium) checkGRUB(ctx context.Context, name string, p *efi.Program) error {
	switch g := p.GRUB; {
	case g == nil, strings.HasPrefix(g.Prefix, "("): // no GRUB, or one that brings its configuration along
		return nil
	case g.Embedded != "" && !strings.Contains(g.Embedded, "grub.cfg"):
		return nil // it may know another way
	}
	config := path.Join(cmp.Or(p.GRUB.Prefix, "/EFI/BOOT"), "grub.cfg")
	esp, err := m.espFiles(ctx)
	if err != nil {
		return err
	}
	beside := slices.ContainsFunc(esp, func(f string) bool { return strings.EqualFold(f, "/EFI/BOOT/grub.cfg") })
	if !beside && !slices.ContainsFunc(esp, func(f string) bool { return strings.EqualFold(f, config) }) {
		return fmt.Errorf("%s looks for %s on the EFI system partition of the medium, where there is none: it would end at its prompt", name, config)
	}
	fromCD := p.GRUB.Prefix != "" && slices.ContainsFunc(p.SBAT, func(s efi.SBAT) bool {
		return s.Component == "grub" && boot.CompareVersions(s.Version, firstOnCD) >= 0
	})
	if _, err := m.find(config); err != nil && fromCD {
		return fmt.Errorf("%s looks for %s on the medium, where there is none: from a CD it would end at its prompt", name, config)
	}
	return nil
}

// espFiles lists the files on the EFI system partition.
func (m *medium) espFiles(ctx context.Context) (files []string, err error) {
	f, err := os.Open(m.name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	table, err := disk.ReadTable(f, fi.Size())
	if err != nil {
		return nil, fmt.Errorf("the partition table of the medium: %w", err)
	}
	for _, p := range table.Partitions {
		if p.Type != disk.TypeMBRESP && p.Type != disk.TypeESP {
			continue
		}
		list := hostcmd.New("mdir", "-/", "-b", "-i", fmt.Sprintf("%s@@%d", m.name, p.Start), "::").Reading(m.name)
		list.Env = append(reproducible(time.Time{}), "MTOOLS_SKIP_CHECK=1")
		text, err := list.Output(ctx)
		if err != nil {
			return nil, fmt.Errorf("the EFI system partition of the medium: %w", err)
		}
		for line := range strings.Lines(text) {
			files = append(files, strings.TrimPrefix(strings.TrimSpace(line), "::"))
		}
	}
	return files, nil
}
