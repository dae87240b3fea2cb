package pkgmgr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// Gone is an installed package that a removal takes away.
type Gone struct {
	Name  string
	Named bool // it is one of those to be removed, and does not go because of them
}

// Refused is the error of a removal that the package manager does not do.
type Refused struct{ Reason string }

func (e *Refused) Error() string { return e.Reason }

// Along are the packages that go with those that a run removes.
type Along struct {
	Known bool // the package manager was asked
	Names []string
}

// Check looks for everything wrong with the sources of a session and with what it is to do, and changes nothing. It asks
// the package manager what a removal takes away, and keeps that in the options.
func Check(ctx context.Context, m *machine.Machine, mgr Manager, o Options, install, update, remove []string) []Fault {
	faults := mgr.Check(ctx, m, o, install, update, remove)
	if len(faults) > 0 || len(remove) == 0 || m.Facts.Foreign {
		return faults
	}
	r := removal{m: m, mgr: mgr, names: remove, replaced: len(install) > 0}
	along, faults, err := r.look(ctx)
	if err != nil {
		m.Log.Debug("what goes with the packages is not known yet", "error", err)
		return nil
	}
	if o.Along != nil {
		*o.Along = Along{true, along}
	}
	return faults
}

// removal is what packages to be removed take away.
type removal struct {
	m        *machine.Machine
	mgr      Manager
	names    []string
	replaced bool // packages are installed after that, a kernel perhaps
}

// look returns the packages that go along, and what is wrong with that.
func (r removal) look(ctx context.Context) (along []string, faults []Fault, err error) {
	gone, err := r.goes(ctx, r.names)
	if refused, is := errors.AsType[*Refused](err); is {
		name := r.blamed(ctx, func(_ []Gone, err error) bool { return err != nil })
		return nil, []Fault{{
			Package: name, Text: fmt.Sprintf("%s refuses to remove %s: %s", r.mgr.Name(), cmp.Or(name, strings.Join(r.names, ", ")), refused.Reason),
			Hint: "remove only what the rest of the system does without",
		}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, g := range gone {
		if !g.Named {
			along = append(along, g.Name)
		}
	}
	slices.Sort(along)
	if len(along) == 0 {
		return nil, nil, nil
	}
	return along, r.missed(ctx, gone), nil
}

// missed are faults for what no system does without, one for each name that takes such things along.
func (r removal) missed(ctx context.Context, gone []Gone) (faults []Fault) {
	losses := map[string][]string{}
	for _, v := range r.vital() {
		owner := r.ownerAmong(ctx, v.files, gone)
		if owner == "" {
			continue
		}
		name := r.blamed(ctx, func(gone []Gone, _ error) bool { return slices.Contains(gone, Gone{owner, false}) })
		losses[name] = append(losses[name], fmt.Sprintf("%s (%s)", owner, v.what))
	}
	for _, name := range slices.Sorted(maps.Keys(losses)) {
		faults = append(faults, Fault{
			Package: name, Text: fmt.Sprintf("removing %s would remove %s too", cmp.Or(name, strings.Join(r.names, ", ")), strings.Join(losses[name], ", ")),
			Hint: "remove only what the rest of the system does without; what is meant to go is named too",
		})
	}
	return faults
}

// goes asks the package manager, which leaves nothing behind.
func (r removal) goes(ctx context.Context, names []string) (gone []Gone, err error) {
	g, err := newGuard(r.m, r.mgr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.restore(ctx)) }()
	return r.mgr.Goes(ctx, r.m, names)
}

// maxBlamed bounds how many names are tried alone.
const maxBlamed = 20

// blamed is the first of the names that has it happen alone; "" where none does.
func (r removal) blamed(ctx context.Context, happens func([]Gone, error) bool) string {
	if len(r.names) == 1 {
		return r.names[0]
	}
	for _, name := range r.names[:min(len(r.names), maxBlamed)] {
		if happens(r.goes(ctx, []string{name})) {
			return name
		}
	}
	return ""
}

// vital is something that no system does without.
type vital struct {
	what  string
	files []string // one of them is in the package
}

// loaders are the dynamic loaders of C libraries (the ABI supplements of glibc and musl).
var loaders = []string{
	"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.2", "/lib/ld-linux-riscv64-lp64d.so.1",
	"/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1",
}

// vital lists what must not go along.
func (r removal) vital() []vital {
	list := []vital{{"the image's init", spellings(r.m.Root, "/sbin/init")}}
	for _, p := range r.mgr.Programs() {
		list = append(list, vital{"the image's package manager", spellings(r.m.Root, machine.FindProgram(r.m.Root, p))})
	}
	for _, l := range loaders {
		if r.m.Root.Exists(l) {
			list = append(list, vital{"the image's C library", spellings(r.m.Root, l)})
		}
	}
	if kernels := r.m.Facts.Kernels; len(kernels) == 1 && !r.replaced {
		list = append(list, vital{"the image's only kernel", spellings(r.m.Root, kernels[0].Image)})
	}
	return slices.DeleteFunc(list, func(v vital) bool { return len(v.files) == 0 })
}

// spellings are the names that a package may have a file under: links may lead to it, and folders below /usr may be those
// of the root.
func spellings(root *rootfs.Root, file string) (names []string) {
	if file == "" {
		return nil
	}
	names = []string{file}
	if real, err := root.Real(file); err == nil {
		names = append(names, real)
	}
	for _, n := range names {
		if short, is := strings.CutPrefix(n, "/usr/"); is {
			names = append(names, path.Join("/", short))
		} else {
			names = append(names, path.Join("/usr", n))
		}
	}
	return names
}

// ownerAmong is the package of one of the files that goes along.
func (r removal) ownerAmong(ctx context.Context, files []string, gone []Gone) string {
	for _, f := range files {
		if owner, err := r.mgr.Owner(ctx, r.m, f); err == nil && slices.Contains(gone, Gone{owner, false}) {
			return owner
		}
	}
	return ""
}
