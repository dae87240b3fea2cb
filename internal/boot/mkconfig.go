package boot

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// mkconfig is GRUB with a configuration that grub-mkconfig makes from /etc/default/grub.
type mkconfig struct{ script }

func (m mkconfig) Change(files Files, c Change) (Changed, error) {
	program, text := mkconfigProgram(files, m.Config)
	if program == "" {
		return Changed{}, fmt.Errorf("%s is generated, but the image has no grub-mkconfig or grub2-mkconfig to generate it with: install the package that holds it", m.Config)
	}
	d, err := readDefaults(files, text)
	if err == nil {
		d.remove(c.Drop)
		err = d.add(c.Add)
	}
	if err != nil {
		return Changed{}, err
	}
	written, err := write(files, d.edits())
	return Changed{written, m.generate(program)}, err
}

// Install makes a new /etc/default/grub, and the menu from it.
func (m mkconfig) Install(ctx context.Context, t Target, s Setup) error {
	g := grubSetup{t, s}
	if err := g.programs(ctx); err != nil {
		return err
	}
	if err := g.defaults(m.Config); err != nil {
		return err
	}
	return t.Apply(ctx, m.Scheme, Change{Add: s.Args})
}

func (m mkconfig) Lags(files Files, kernels []Kernel) string {
	menu, err := m.Entries(files)
	if err != nil {
		return "the menu cannot be read: " + err.Error()
	}
	return menu.Stale(kernels)
}

// Refresh has the menu generated. Where nothing can, what is wrong with it is found when the image is checked.
func (m mkconfig) Refresh(ctx context.Context, t Target, _ []Kernel) error {
	program, _ := mkconfigProgram(t.Root, m.Config)
	if program == "" {
		return nil
	}
	return t.Run(ctx, *m.generate(program))
}

// generate runs the generator. os-prober would offer the systems of whatever disks it sees.
func (m mkconfig) generate(program string) *Command {
	return &Command{[]string{program, "-o", m.Config}, []string{"GRUB_DISABLE_OS_PROBER=true"}}
}

// mkconfigProgram returns the name and the text of the image's generator, under the name that
// belongs to the place of grub.cfg if both are there.
func mkconfigProgram(files Files, config string) (name, text string) {
	names := []string{"grub-mkconfig", "grub2-mkconfig"}
	if strings.Contains(config, "/grub2/") {
		names = []string{"grub2-mkconfig", "grub-mkconfig"}
	}
	for _, n := range names {
		for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin"} {
			if data, err := files.ReadFile(path.Join(dir, n)); err == nil {
				return n, string(data)
			}
		}
	}
	return "", ""
}
