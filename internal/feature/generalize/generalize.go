// Package generalize takes out of an image what machines made of it must not share (os.generalize).
package generalize

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/selinux"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Generalize takes out of the image what would make its clones twins. The rows are those of identity.Table.
type Generalize struct {
	Level     GeneralizeLevel `yaml:"level" required:"true" doc:"How much is taken out. minimal: only what tells machines apart; golden: what a machine leaves behind too, such as logs, caches and histories; template: what belongs to who made the image too, such as keys to log in with. See [generalize](generalize.md)." example:"golden"`
	Add       []RowName       `yaml:"add" doc:"Rows of the table to take out besides." example:"[tls-snakeoil]"`
	Skip      []RowName       `yaml:"skip" doc:"Rows of the table to leave."`
	Keep      []KeepGlob      `yaml:"keep" doc:"Files and folders that no row touches. * and ? stand for a part of a name, ** for folders of any depth." example:"[/var/log/installer/**]"`
	MachineID MachineID       `yaml:"machineId" default:"\"\"" doc:"What /etc/machine-id holds then. uninitialized: the first boot is one to systemd, and presets are written that keep every unit as it is; empty: it is not. Without it, uninitialized where the root is writable at boot and presets can say all, and otherwise empty."`
	Strict    bool            `yaml:"strict" default:"false" doc:"Fail if something is left that tells machines apart."`
}

// GeneralizeLevel is how much is taken out.
type GeneralizeLevel string

// Values lists the levels.
func (GeneralizeLevel) Values() (names []string) {
	for _, l := range identity.Levels {
		names = append(names, string(l))
	}
	return names
}

// RowName is a row of the table.
type RowName string

// Values lists the rows.
func (RowName) Values() []string { return identity.Names() }

// MachineID is what becomes of /etc/machine-id, which is never absent.
type MachineID string

// Ways to have none.
const (
	idUninitialized MachineID = "uninitialized"
	idEmpty         MachineID = "empty"
)

// Values lists the ways.
func (MachineID) Values() []string { return []string{"", string(idUninitialized), string(idEmpty)} }

// KeepGlob is a pattern of paths.
type KeepGlob string

// Describe tells how the pattern is written.
func (KeepGlob) Describe() config.Form { return config.Form{Kind: "path", Pattern: `^/[^\n]+$`} }

// Validate checks that it is absolute and can match.
func (k *KeepGlob) Validate(at *config.At) {
	s := string(*k)
	_, err := path.Match(s, "/")
	if !k.Describe().Fits(s) || err != nil || path.Clean(s) != strings.TrimSuffix(s, "/") || s == "/**" {
		at.Errorf("%q is not a pattern of paths in the image", s).Hint("write it like /var/log/installer/** or /etc/ssh/ssh_host_rsa_key*")
	}
}

// Validate finds rows that are asked for and left, or left although nothing may be.
func (g *Generalize) Validate(at *config.At) {
	config.Contradicts(at.Field("skip"), at.Field("add"), g.Skip, g.Add, func(item *config.At, name RowName) {
		item.Errorf("%s is to be taken out and to be left", name).Hint("remove it from one of the lists")
	})
	for i, name := range g.Skip {
		if row, ok := identity.Find(string(name)); ok && g.Strict && row.Twin {
			at.Field("skip").Index(i).Errorf("strict demands that clones share nothing, and %s is %s", name, row.What).Hint("remove one of them")
		}
	}
}

// Used tells whether a level is given.
func (g Generalize) Used() bool { return g.Level != "" }

// Touches is the machine identifier, which every level takes.
func (Generalize) Touches() []feature.Touch { return []feature.Touch{{Path: machineIDFile}} }

// Record is all of it.
func (g Generalize) Record() (any, error) {
	return feature.RecordIf(g.Used(), map[string]any{"level": g.Level, "add": g.Add, "skip": g.Skip, "keep": g.Keep, "machineId": g.MachineID, "strict": g.Strict})
}

// Plan is one step, and labels for what it makes.
func (g Generalize) Plan(in *feature.Given) (plan.Plan, []plan.Problem) {
	p := plan.Plan{Clean{Generalize: g, ReadOnly: in.SealedRoot, WritableEtc: slices.Contains(in.Overlaid, "/etc"), EarlyEtc: in.EtcEarly, Passwords: in.Passwords, Keyed: in.Keyed}}
	if in.Labels() {
		p = append(p, selinux.Relabel{Changing: in.Packages})
	}
	return p, nil
}

// rows are those to take out, in the order of the table.
func (g Generalize) rows() (rows []identity.Row) {
	for _, r := range identity.Table {
		n := RowName(r.Name)
		if (r.At(identity.Level(g.Level)) || slices.Contains(g.Add, n)) && !slices.Contains(g.Skip, n) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Clean takes the rows out.
type Clean struct {
	Generalize
	ReadOnly    bool     // the root is sealed, and cannot be written at boot
	WritableEtc bool     // but /etc can
	EarlyEtc    bool     // before systemd looks at the machine identifier
	Passwords   []string // users that the config gives one
	Keyed       []string // users that it gives SSH keys
}

// Name identifies the step.
func (Clean) Name() string { return "generalize" }

func (s Clean) String() string {
	text := "take out what clones must not share (" + string(s.Level) + ")"
	for _, part := range []struct {
		word  string
		names []RowName
	}{{"also", s.Add}, {"but not", s.Skip}} {
		for i, n := range part.names {
			if i == 0 {
				text += ", " + part.word
			}
			text += " " + string(n)
		}
	}
	return text
}

// Replaces are files that it writes.
func (Clean) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.generalize", feature.Present(m, machineIDFile)...)
}

func (s Clean) system(m *machine.Machine) *identity.System {
	sys := &identity.System{Root: m.Root, Astray: func(link string) {
		m.Log.Warn("a link of the image leads elsewhere; nothing behind it is taken out", "link", link)
	}}
	for _, k := range s.Keep {
		sys.Keep = append(sys.Keep, string(k))
	}
	for _, f := range m.Facts.Filesystems {
		if f.Type == "vfat" {
			sys.ESPs = append(sys.ESPs, f.MountPoint)
		}
	}
	return sys
}

// Check finds what would be lost for good: host keys that nobody makes again, and the only way to log in.
func (s Clean) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	return append(s.checkKeys(m), s.checkLogin(m)...)
}

// Run takes out one row after the other.
func (s Clean) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	sys := s.system(m)
	if err := s.resetID(m, sys); err != nil {
		return err
	}
	for _, r := range s.rows() {
		if err := s.clear(m, sys, r); err != nil {
			return fmt.Errorf("take out %s: %w", r.What, err)
		}
	}
	if err := s.clearHidden(m); err != nil {
		return err
	}
	if sys.Err != nil {
		return sys.Err
	}
	return s.left(m, sys)
}

func (s Clean) clear(m *machine.Machine, sys *identity.System, r identity.Row) error {
	if r.Name == rowMachineID {
		return nil // done before all others
	}
	found := sys.Find(r)
	for _, name := range found {
		if m.Facts.FilesystemOf(name).Kept {
			m.Log.Warn("it lies on a sealed filesystem and stays", "file", name)
			continue
		}
		if err := sys.Clear(r, name); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		m.Log.Debug("taken out", "row", r.Name, "files", len(found))
	}
	for _, k := range keyServers {
		if r.Name == k.row && len(found) > 0 {
			return k.makeAtBoot(m)
		}
	}
	return nil
}

// left warns of what clones would share all the same, or fails.
func (s Clean) left(m *machine.Machine, sys *identity.System) error {
	all := identity.System{Root: sys.Root, ESPs: sys.ESPs}
	var list []string
	for _, r := range identity.Table {
		if !r.Twin || !s.Strict && slices.Contains(s.Skip, RowName(r.Name)) {
			continue
		}
		for _, name := range all.Find(r) {
			list = append(list, fmt.Sprintf("%s (%s)", name, r.Name))
		}
	}
	switch {
	case len(list) == 0:
	case s.Strict:
		return fmt.Errorf("clones of the image would share %s: add their rows, remove them in a script, or leave strict out", strings.Join(list, ", "))
	default:
		m.Log.Warn("clones of the image would share files", "files", strings.Join(list, ", "))
	}
	return nil
}

// hiddenDir is where the root is seen without what the sandbox mounts on its /tmp.
const hiddenDir = "/run/imagecustomizer-generalize"

// clearHidden takes out temporary files that lie where the image's programs see another /tmp.
func (s Clean) clearHidden(m *machine.Machine) error {
	i := slices.IndexFunc(s.rows(), func(r identity.Row) bool { return r.Name == "temporary-files" })
	fs := m.Facts.FilesystemOf("/tmp")
	if i < 0 || m.Image == nil || fs.Kept {
		return nil
	}
	return m.Bare(fs.MountPoint, hiddenDir, func() error {
		under := path.Join(hiddenDir, strings.TrimPrefix("/tmp", strings.TrimSuffix(fs.MountPoint, "/")))
		if fi, err := m.Root.Lstat(under); err != nil || !fi.IsDir() {
			return nil //nolint:nilerr // without the folder, or with a link there, nothing lies in it
		}
		return eachEntry(m.Root, under, func(name string) error {
			if keeps := (&identity.System{Keep: s.system(m).Keep}).Keeps("/tmp/" + path.Base(name)); keeps {
				return nil
			}
			return m.Root.RemoveAll(name)
		})
	})
}

func eachEntry(root *rootfs.Root, dir string, f func(name string) error) error {
	entries, err := root.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkLogin refuses to take out the keys of users where they are the only way to log in.
func (s Clean) checkLogin(m *machine.Machine) []plan.Problem {
	row, _ := identity.Find("authorized-keys")
	if !slices.ContainsFunc(s.rows(), func(r identity.Row) bool { return r.Name == row.Name }) {
		return nil
	}
	keys := s.system(m).Find(row)
	for _, name := range s.Keyed {
		keys = append(keys, "the keys of "+name)
	}
	if len(keys) == 0 || len(s.Passwords) > 0 || HasPassword(m.Root) || provisions(m) {
		return nil
	}
	return []plan.Problem{{
		Path: "os.generalize.level", Text: fmt.Sprintf("%s takes %s, by which alone one can log in to the image: no user has a password, and no agent makes users at boot", s.Level, strings.Join(keys, ", ")),
		Hint: "take level golden, or add \"skip: [authorized-keys]\"",
	}}
}

// HasPassword tells whether a user can log in with one.
func HasPassword(root *rootfs.Root) bool {
	shadow, _ := root.ReadFile("/etc/shadow") // without one, nobody can
	for line := range strings.Lines(string(shadow)) {
		f := strings.Split(line, ":")
		if len(f) < 2 || f[1] != "" && !strings.HasPrefix(f[1], "$") && !oldHash.MatchString(f[1]) {
			continue
		}
		if user := accounts.Entry(root, accounts.PasswdFile, f[0]); len(user) == 7 && !strings.HasSuffix(user[6], "nologin") && !strings.HasSuffix(user[6], "false") {
			return true
		}
	}
	return false
}

var oldHash = regexp.MustCompile(`^[./0-9A-Za-z]{13}$`)

// agents make users at boot.
var agents = []string{"cloud-init.service", "cloud-init-local.service", "cloud-init-main.service", "waagent.service", "walinuxagent.service", "ignition-firstboot-complete.service", "afterburn.service"}

func provisions(m *machine.Machine) bool {
	if m.Root.Exists("/etc/cloud/cloud-init.disabled") {
		return false
	}
	started := identity.Units{Root: m.Root, Kind: "system"}.Started(bootTargets...)
	return slices.ContainsFunc(agents, func(a string) bool {
		return slices.Contains(started, a) && identity.Units{Root: m.Root, Kind: "system"}.Of(a) != ""
	})
}

// bootTargets are what systemd starts at boot.
var bootTargets = []string{"default.target", "graphical.target", "multi-user.target", "basic.target", "sysinit.target", "sockets.target", "cloud-init.target", "cloud-config.target"}

// Flags asks for it.
func (Generalize) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("generalize", "LEVEL", "os.generalize.level", "Take out what clones must not share, as virt-sysprep does: minimal, golden or template.")}
}
