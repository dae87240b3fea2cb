package cloud

import (
	"context"
	"errors"
	"path"
	"strings"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/generalize"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
)

// planRemoveCloudInit removes the package, where the image has it, and what it leaves.
func planRemoveCloudInit(g *feature.Given) (plan.Plan, []plan.Problem) {
	const name = "cloud-init"
	remove := packages.ChangePackages{Remove: []string{name}, Options: pkgmgr.Options{NoBaseRepos: true, Indexes: &pkgmgr.Indexes{}}, Places: map[string][]string{name: {"os.cloudInit.mode"}}}
	return plan.Plan{RemoveCloudInit{remove, len(g.Passwords)+len(g.Keyed) > 0}}, nil
}

// RemoveCloudInit takes cloud-init out of the image. What it configured stays: users, keys, the network.
type RemoveCloudInit struct {
	Packages packages.ChangePackages
	Logins   bool // the config lets somebody in
}

// Name identifies the step.
func (RemoveCloudInit) Name() string { return "cloud-init" }

func (RemoveCloudInit) String() string { return "remove cloud-init, its settings and its state" }

// Replaces are the files of its package.
func (s RemoveCloudInit) Replaces(m *machine.Machine) []plan.Replaced { return s.Packages.Replaces(m) }

// cloudSettings are what the package leaves besides its state.
var cloudSettings = []string{"/etc/cloud", cloudState, "/etc/systemd/system/cloud-init.target.wants", "/etc/systemd/system/cloud-config.target.wants"}

// Check looks for what removes it.
func (s RemoveCloudInit) Check(ctx context.Context, m *machine.Machine) []plan.Problem {
	switch {
	case !m.Has("cloud-init"):
		return nil
	case probe.Of(m.Facts) == nil:
		return []plan.Problem{{Path: "os.cloudInit.mode", Text: "the image has no package manager that could remove cloud-init", Hint: "write \"mode: disable\""}}
	}
	return s.Packages.Check(ctx, m)
}

// Run removes it, and sees that it is gone.
func (s RemoveCloudInit) Run(ctx context.Context, m *machine.Machine) error {
	if m.Has("cloud-init") {
		if err := s.Packages.Run(ctx, m); err != nil {
			return err
		}
		if m.Has("cloud-init") {
			return errors.New("the package cloud-init was removed, and the program is still there: it belongs to another package, or to none")
		}
	}
	for _, name := range append(beginning(m, "/var/log", "cloud-init"), cloudSettings...) {
		if err := m.Root.RemoveAll(name); err != nil {
			return err
		}
	}
	return s.keep(m)
}

// keep has what cloud-init did at each boot done by others, as far as that can be.
func (s RemoveCloudInit) keep(m *machine.Machine) error {
	if err := generalize.MakeHostKeys(m); err != nil {
		return err
	}
	keys, _ := identity.Find("authorized-keys")
	if !s.Logins && !generalize.HasPassword(m.Root) && len((&identity.System{Root: m.Root}).Find(keys)) == 0 {
		m.Log.Warn("nobody can log in to the image without cloud-init: no user has a password or a key")
	}
	return nil
}

// beginning are the entries of a directory whose names begin so.
func beginning(m *machine.Machine, dir, prefix string) (names []string) {
	entries, _ := m.Root.ReadDir(dir) // without it there is nothing in it
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names
}
