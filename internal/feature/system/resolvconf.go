package system

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

const resolvConf = "/etc/resolv.conf"

// savedConf is what the image's own file is called while ours is in its place.
const savedConf = "/etc/.resolv.conf.imagecustomizer"

// OverrideDNS gives the image the build host's name servers for the time of the run. The image's own file is
// moved aside, not bind mounted over, because packages and scripts may replace it too.
type OverrideDNS struct{ Saved *NameServers }

// NameServers are the build host's in the place of the image's own: what the restoring step must know of what the
// overriding one did.
type NameServers struct {
	had     bool // the image has a file or link of its own
	flags   int  // by which it was immutable
	written string
	made    fs.FileInfo // of our file
	since   time.Time   // when there first was one
	own     []byte      // content of the file that the image had before the run; nil where it had none
}

// RestoreDNS puts the image's own resolv.conf back, unless the run has made another.
type RestoreDNS struct{ Saved *NameServers }

// Name identifies the step.
func (OverrideDNS) Name() string { return "dns.override" }

// Name identifies the step.
func (RestoreDNS) Name() string { return "dns.restore" }

func (OverrideDNS) String() string { return "use the build host's name servers in " + resolvConf }

func (RestoreDNS) String() string { return "put the image's own " + resolvConf + " back" }

// Run moves the file aside and writes ours.
func (s OverrideDNS) Run(_ context.Context, m *machine.Machine) (err error) {
	if s.Saved.flags, err = m.Root.Lift(resolvConf); err != nil {
		return err
	}
	if _, err = m.Root.Lstat(resolvConf); err == nil {
		s.Saved.had = true
		err = m.Root.Rename(resolvConf, savedConf)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	s.Saved.written = HostNameServers()
	if err := m.Root.WriteFile(resolvConf, []byte(s.Saved.written), 0o644); err != nil {
		return err
	}
	if s.Saved.made, err = m.Root.Lstat(resolvConf); err == nil && s.Saved.since.IsZero() {
		s.Saved.since = s.Saved.made.ModTime()
		s.Saved.own, _ = m.Root.ReadFile(savedConf)
	}
	return err
}

// HostNameServers is the host's resolv.conf. A stub resolver on the loopback interface, such as
// that of systemd-resolved, is replaced by the servers behind it.
func HostNameServers() string {
	own, _ := hostfs.ReadFile(resolvConf)
	if !strings.Contains(string(own), "nameserver 127.0.0.53") {
		return string(own)
	}
	if behind, err := hostfs.ReadFile("/run/systemd/resolve/resolv.conf"); err == nil {
		return string(behind)
	}
	return string(own)
}

// Run restores the file where ours is still what the run before it left.
func (s RestoreDNS) Run(_ context.Context, m *machine.Machine) error {
	if err := s.mendCopies(m.Root); err != nil {
		return err
	}
	if !s.untouched(m.Root) {
		s.warn(m)
		return m.Root.Remove(savedConf)
	}
	if s.Saved.had {
		if err := m.Root.Rename(savedConf, resolvConf); err != nil {
			return err
		}
		return m.Root.Fix(resolvConf, s.Saved.flags)
	}
	if err := m.Root.Remove(resolvConf); err != nil {
		return err
	}
	for _, target := range []string{"multi-user", "sysinit"} {
		if _, err := m.Root.Lstat("/etc/systemd/system/" + target + ".target.wants/systemd-resolved.service"); err == nil {
			return m.Root.Symlink("../run/systemd/resolve/stub-resolv.conf", resolvConf)
		}
	}
	return nil
}

// untouched tells whether resolv.conf is the file that we wrote, which nobody has written since.
func (s RestoreDNS) untouched(root *rootfs.Root) bool {
	is, err := root.Lstat(resolvConf)
	if err != nil || s.Saved.made == nil || !is.Mode().IsRegular() || !is.ModTime().Equal(s.Saved.made.ModTime()) {
		return false
	}
	text, err := root.ReadFile(resolvConf)
	return err == nil && string(text) == s.Saved.written
}

// warn warns of what the run made of ours, and which so names the build host's servers.
func (s RestoreDNS) warn(m *machine.Machine) {
	if fi, err := m.Root.Lstat(resolvConf); err != nil || !fi.Mode().IsRegular() {
		return
	}
	text, err := m.Root.ReadFile(resolvConf)
	for line := range strings.Lines(string(text)) {
		if err == nil && strings.HasPrefix(line, "nameserver") && strings.Contains(s.Saved.written, line) {
			m.Log.Warn("the run has changed "+resolvConf+", which now names a server of the build host; write the whole file instead", "line", strings.TrimSpace(line))
			return
		}
	}
}

// copyDirs are folders in which packages put copies of the resolv.conf that they find.
var copyDirs = []string{"/etc", "/etc/resolvconf/resolv.conf.d"}

// mendCopies gives copies of our file, such as systemd-resolved's package makes when it is installed, the
// image's own content, or removes them where it has none.
func (s RestoreDNS) mendCopies(root *rootfs.Root) error {
	for _, dir := range copyDirs {
		entries, _ := root.ReadDir(dir)
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if name == resolvConf || name == savedConf || dir == "/etc" && !strings.Contains(e.Name(), "resolv") || !s.copied(root, name, e) {
				continue
			}
			mend := func() error { return root.WriteFile(name, s.Saved.own, 0o644) }
			if s.Saved.own == nil {
				mend = func() error { return root.Remove(name) }
			}
			if err := mend(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copied tells whether a file is a copy of ours that the run has made.
func (s RestoreDNS) copied(root *rootfs.Root, name string, e fs.DirEntry) bool {
	fi, err := e.Info()
	if err != nil || !fi.Mode().IsRegular() || fi.ModTime().Before(s.Saved.since) {
		return false
	}
	text, err := root.ReadFile(name)
	return err == nil && string(text) == s.Saved.written
}

// RefreshDNS does OverrideDNS again where packages have put a link there that leads nowhere yet, as that of
// systemd-resolved: scripts need name servers too. That link is the image's own file from then on.
type RefreshDNS struct{ Saved *NameServers }

// Name identifies the step.
func (RefreshDNS) Name() string { return "dns.refresh" }

func (RefreshDNS) String() string { return "see that scripts have name servers" }

// Run looks for the link.
func (s RefreshDNS) Run(ctx context.Context, m *machine.Machine) error {
	fi, err := m.Root.Lstat(resolvConf)
	if err != nil || fi.Mode()&fs.ModeSymlink == 0 || m.Root.Exists(resolvConf) {
		return nil
	}
	return OverrideDNS(s).Run(ctx, m)
}

// needDNS tells whether name servers are needed, by packages or scripts, and can be written.
func needDNS(g *feature.Given) bool { return (g.Packages || g.Post) && !g.Kept(resolvConf) }

func (n *NameServers) PlanOverride(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	if needDNS(g) {
		p = plan.Plan{OverrideDNS{n}}
	}
	return p, nil
}

func (n *NameServers) PlanRefresh(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	if needDNS(g) && g.Packages && g.Post {
		p = plan.Plan{RefreshDNS{n}}
	}
	return p, nil
}

func (n *NameServers) PlanRestore(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	if needDNS(g) {
		p = plan.Plan{RestoreDNS{n}}
	}
	return p, nil
}
