package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
)

// bls are boot loader entries: one file a kernel. GRUB's blscfg reads them, or systemd-boot.
type bls struct{ Scheme }

func (b bls) Entries(files Files) (*Menu, error) {
	m := &Menu{}
	root := ""
	var known variables
	if b.grub() {
		top, err := m.script(files, b.Config)
		if err != nil {
			return nil, err
		}
		root, known = top.values["root"], top.variables
	}
	all, err := b.all(files)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		found, err := e.read(root, known)
		switch {
		case e.bootsLinux() && err != nil:
			return nil, err
		case e.bootsLinux():
			m.Entries = append(m.Entries, found)
		default:
			m.Programs = append(m.Programs, found)
		}
	}
	return m, nil
}

// all are all entry files.
func (b bls) all(files Files) (found []entry, err error) {
	names := list(files, b.Scheme.Entries, ".conf")
	if len(names) > maxEntries {
		return nil, tooMany("boot entries in "+b.Scheme.Entries, maxEntries)
	}
	for _, f := range names {
		text, err := setting(files, f)
		if err != nil {
			return nil, err
		}
		if len(text) > maxEntryFile {
			return nil, fmt.Errorf("%s has more than the %d KiB that a boot entry may have", f, maxEntryFile>>10)
		}
		found = append(found, parseEntry(f, string(text), b.grub()))
	}
	return found, nil
}

// own are the entries that boot a kernel of this system, but those for rescue. Several may boot the same one:
// with debugging, from a snapshot, left by another machine identifier.
func (b bls) own(files Files) (found []entry, err error) {
	all, err := b.all(files)
	if err != nil {
		return nil, err
	}
	m, err := b.Entries(files)
	if err != nil {
		return nil, err
	}
	entries, err := normalOf(files, b.Scheme, m)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if slices.ContainsFunc(entries, func(x Entry) bool { return x.File == e.file }) {
			found = append(found, e)
		}
	}
	return found, nil
}

// Change adds arguments to every entry, and to what the entries of later kernels are made
// from: /etc/kernel/cmdline and, where GRUB makes them, /etc/default/grub.
func (b bls) Change(files Files, c Change) (Changed, error) {
	if len(c.Drop) > 0 {
		if err := b.Replace(files, Change{Drop: c.Drop}); err != nil {
			return Changed{}, err
		}
	}
	edits, err := b.adding(files, c)
	if err != nil {
		return Changed{}, err
	}
	written, err := write(files, edits)
	return Changed{Files: written}, err
}

func (b bls) adding(files Files, c Change) (edits []edit, err error) {
	found, err := b.own(files)
	if err != nil {
		return nil, err
	}
	shared := ""
	if b.grub() && slices.ContainsFunc(found, entry.shares) {
		if edits, shared, err = sharedEdits(files, b.Config, addShared(c.Add)); err != nil {
			return nil, err
		}
	}
	for _, e := range found {
		changed, err := e.addTo(c.Add, shared)
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit{e.file, changed.text(), 0o644})
	}
	later, err := cmdlineEdit(files, c, b.grub())
	if err != nil || !b.grub() {
		return append(edits, later...), err
	}
	d, err := b.defaults(files, c)
	return append(append(edits, later...), d...), err
}

// addTo adds the arguments that an entry lacks, given those that it shares with others.
func (e entry) addTo(args []string, shared string) (entry, error) {
	if shared != "" && e.shares() {
		have, err := e.arguments(variables{values: map[string]string{sharedName: shared}})
		if err != nil {
			return e, err
		}
		args = Entry{Arguments: have}.all().Missing(args)
	}
	return e.add(args)
}

// defaults changes what GRUB's own programs make entries from.
func (b bls) defaults(files Files, c Change) ([]edit, error) {
	_, mkconfig := mkconfigProgram(files, b.Config)
	d, err := readDefaults(files, mkconfig)
	if err != nil {
		return nil, err
	}
	if len(d.old) > 0 {
		d.remove(c.Drop)
		err = d.add(c.Add)
	}
	return d.edits(), err
}

func (b bls) Replace(files Files, c Change) error {
	edits, err := b.replacing(files, c)
	if err != nil {
		return err
	}
	if _, err := write(files, edits); err != nil {
		return err
	}
	return Verify(files, b.Scheme, c.all())
}

// replacing changes all entries, those for rescue too.
func (b bls) replacing(files Files, r Change) (edits []edit, err error) {
	more, err := entryCarrier(b.grub()).Join(r.all())
	if err != nil {
		return nil, err
	}
	shared := ""
	all, err := b.all(files)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if b.grub() && e.shares() && shared == "" {
			more, value, err := sharedEdits(files, b.Config, r.inShared)
			if err != nil {
				return nil, err
			}
			edits, shared = append(edits, more...), value
		}
		for _, i := range e.find("options") {
			_, value := keyValue(e.lines[i])
			kept := r.keep(value)
			if i == e.options() && (shared == "" || !e.shares()) {
				kept = append(kept, more)
			}
			e.lines[i] = "options " + strings.Join(kept, " ") + "\n"
		}
		if e.options() < 0 {
			if e, err = e.add(r.all()); err != nil {
				return nil, err
			}
		}
		edits = append(edits, edit{e.file, e.text(), 0o644})
	}
	return edits, nil
}

// Install resets the entries that there are, and what GRUB's programs make more of.
func (b bls) Install(ctx context.Context, t Target, s Setup) error {
	g := grubSetup{t, s}
	generated := mkconfig{script{Scheme{Kind: Mkconfig, Config: path.Join(s.GRUB.Dir, "grub.cfg")}}}
	if err := g.programs(ctx); err != nil {
		return err
	}
	if err := g.defaults(generated.Config); err != nil {
		return err
	}
	root := append([]string{"root=" + s.Root, "ro"}, s.RootFlags...)
	if err := b.reset(t.Root, append(root, s.SELinux...), s.BootPath); err != nil {
		return err
	}
	done, err := generated.Change(t.Root, Change{})
	if err != nil {
		return err
	}
	if err := t.Run(ctx, *done.Regenerate); err != nil {
		return err
	}
	return t.Apply(ctx, b.Scheme, Change{Add: s.Args})
}

func (b bls) Lags(Files, []Kernel) string { return "" }

func (b bls) Refresh(context.Context, Target, []Kernel) error { return nil }

const kernelCmdline = "/etc/kernel/cmdline"

// cmdlineEdit changes what kernel-install makes later entries with.
func cmdlineEdit(files Files, c Change, byGRUB bool) ([]edit, error) {
	text, err := setting(files, kernelCmdline)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	body, comments := withoutComments(string(text), byGRUB)
	have, err := kargs.Split(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kernelCmdline, err)
	}
	kept := Change{Drop: c.Drop}.dropped(have)
	more, err := entryCarrier(byGRUB).Join(kept.Missing(c.Add))
	if err != nil || more == "" && len(kept) == len(have) {
		return nil, err
	}
	if body = strings.TrimRight(body, " \t\r\n"); len(kept) < len(have) {
		if body, err = entryCarrier(byGRUB).Join(kept); err != nil {
			return nil, err
		}
	}
	return []edit{{kernelCmdline, comments + strings.TrimSpace(body+" "+more) + "\n", 0o644}}, nil
}

// dropped are the arguments without those of the names that go.
func (r Change) dropped(args kargs.Cmdline) kargs.Cmdline {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return r.drops(kargs.Name(a)) })
}

// withoutComments takes the lines apart that kernel-install does not read as arguments: what is written behind them,
// on their line, would be lost. Plugins of GRUB's know no comments.
func withoutComments(text string, byGRUB bool) (body, comments string) {
	for l := range strings.Lines(text) {
		if !byGRUB && strings.HasPrefix(strings.TrimSpace(l), "#") {
			comments += line(l)
		} else {
			body += l
		}
	}
	return body, comments
}

// reset gives every entry these arguments and no other, and has it name kernel and
// initramfs below prefix, where the boot loader finds /boot. Entries for rescue are reset too.
func (b bls) reset(files Files, args []string, prefix string) error {
	options, err := entryCarrier(b.grub()).Join(args)
	if err != nil {
		return err
	}
	all, err := b.all(files)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := files.WriteFile(e.file, []byte(e.reset(options, prefix).text()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (e entry) reset(options, prefix string) entry {
	lines := slices.Clone(e.lines)
	for _, key := range []string{"linux", "initrd"} {
		for _, i := range e.find(key) {
			_, value := keyValue(lines[i])
			words := strings.Fields(value)
			for j, w := range words {
				if strings.HasPrefix(w, "/") {
					words[j] = prefix + "/" + path.Base(w)
				}
			}
			lines[i] = key + " " + strings.Join(words, " ") + "\n"
		}
	}
	for _, i := range slices.Backward(e.find("options")) {
		lines = slices.Delete(lines, i, i+1)
	}
	return parseEntry(e.file, line(strings.Join(lines, ""))+"options "+options+"\n", e.byGRUB)
}
