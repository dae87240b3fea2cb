package boot

import (
	"context"
	"slices"
)

// handwritten is GRUB with a configuration that no program makes.
type handwritten struct{ script }

func (h handwritten) Change(files Files, c Change) (Changed, error) {
	if len(c.Drop) > 0 {
		if err := h.Replace(files, Change{Drop: c.Drop}); err != nil {
			return Changed{}, err
		}
	}
	edits, err := h.add(files, c.Add)
	if err != nil {
		return Changed{}, err
	}
	written, err := write(files, edits)
	return Changed{Files: written}, err
}

func (h handwritten) Lags(Files, []Kernel) string { return "" }

func (h handwritten) Refresh(context.Context, Target, []Kernel) error { return nil }

// Install writes a menu that is not generated.
func (h handwritten) Install(ctx context.Context, t Target, s Setup) error {
	if err := (grubSetup{t, s}).programs(ctx); err != nil {
		return err
	}
	if err := t.Root.WriteFile(h.Config, []byte(s.Fill(s.GRUB.Menu)), 0o600); err != nil {
		return err
	}
	return t.Apply(ctx, h.Scheme, Change{Add: append(slices.Clone(s.RootFlags), s.Args...)})
}
