package boot

import (
	"bytes"
	"fmt"
	"strings"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/rootfs"
)

// uki are unified kernel images. How their arguments are changed is not known here.
type uki struct{ none }

// Entries lists the images that lie where systemd-boot looks for them.
func (uki) Entries(files Files) (*Menu, error) {
	m := &Menu{}
	for _, esp := range espDirs {
		for _, name := range list(files, esp+ukiDir, ".efi") {
			e, err := unifiedEntry(files, esp, name)
			if err != nil {
				return nil, err
			}
			m.Entries = append(m.Entries, e)
		}
	}
	return m, nil
}

// unifiedEntry is what an image says of itself, with the arguments of its add-ons behind its own.
func unifiedEntry(files Files, esp, name string) (Entry, error) {
	self := Ref{File: name, Place: Place{Path: strings.TrimPrefix(name, esp)}}
	e := Entry{File: name, Unified: true, Kernel: self}
	e.ID, e.Tries = EntryID(name)
	for _, file := range append([]string{name}, list(files, name+".extra.d", ".addon.efi")...) {
		data, err := files.ReadAs(rootfs.UnifiedImage, file)
		if err != nil {
			return e, err
		}
		p, err := efi.Read(bytes.NewReader(data))
		if err != nil {
			return e, fmt.Errorf("%s: %w", file, err)
		}
		args, err := kargs.Split(p.Cmdline)
		if err != nil {
			return e, fmt.Errorf("%s: its kernel arguments: %w", file, err)
		}
		if file == name {
			e.Version = p.Version
		}
		if p.HasInitrd {
			e.Initrds = []Ref{self}
		}
		e.Text = strings.TrimSpace(e.Text + " " + p.Cmdline)
		e.Arguments = append(e.Arguments, ArgumentsAt(args, Origin{File: file, Variable: ".cmdline"})...)
	}
	return e, nil
}
