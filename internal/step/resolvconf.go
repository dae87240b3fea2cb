package step

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

const resolvConf = "/etc/resolv.conf"

// OverrideDNS gives the image the build host's name servers for the time of the run. The file is
// replaced, not bind mounted over, because packages may replace it too.
type OverrideDNS struct{ Saved *savedDNS }

// savedDNS is the image's own resolv.conf; the restoring step reads what the overriding one wrote.
type savedDNS struct {
	kind    string // none, link or file
	target  string
	content []byte
	mode    fs.FileMode
	written string
}

// RestoreDNS puts the image's own resolv.conf back.
type RestoreDNS struct{ Saved *savedDNS }

// Name identifies the step.
func (OverrideDNS) Name() string { return "dns.override" }

// Name identifies the step.
func (RestoreDNS) Name() string { return "dns.restore" }

func (OverrideDNS) String() string { return "use the build host's name servers in " + resolvConf }

func (RestoreDNS) String() string { return "put the image's own " + resolvConf + " back" }

// Run saves and replaces the file.
func (s OverrideDNS) Run(_ context.Context, m *machine.Machine) error {
	if err := s.Saved.save(m.Root); err != nil {
		return err
	}
	if err := m.Root.Remove(resolvConf); err != nil {
		return err
	}
	s.Saved.written = HostNameServers()
	return m.Root.WriteFile(resolvConf, []byte(s.Saved.written), 0o644)
}

func (s *savedDNS) save(root *rootfs.Root) error {
	fi, err := root.Lstat(resolvConf)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.kind = "none"
		return nil
	case err != nil:
		return err
	case fi.Mode()&fs.ModeSymlink != 0:
		s.kind = "link"
		s.target, err = root.Readlink(resolvConf)
		return err
	}
	s.kind, s.mode = "file", fi.Mode().Perm()
	s.content, err = root.ReadFile(resolvConf)
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

// Run restores the file, unless a package or script of the run has made another. An image that had
// none but has systemd-resolved enabled gets the usual link to it.
func (s RestoreDNS) Run(_ context.Context, m *machine.Machine) error {
	if now, err := m.Root.ReadFile(resolvConf); err == nil && string(now) != s.Saved.written && s.Saved.kind == "none" {
		return nil
	}
	if err := m.Root.Remove(resolvConf); err != nil {
		return err
	}
	switch s.Saved.kind {
	case "link":
		return m.Root.Symlink(s.Saved.target, resolvConf)
	case "file":
		return m.Root.WriteFile(resolvConf, s.Saved.content, s.Saved.mode)
	}
	if _, err := m.Root.Lstat("/etc/systemd/system/multi-user.target.wants/systemd-resolved.service"); err == nil {
		return m.Root.Symlink("../run/systemd/resolve/stub-resolv.conf", resolvConf)
	}
	if _, err := m.Root.Lstat("/etc/systemd/system/sysinit.target.wants/systemd-resolved.service"); err == nil {
		return m.Root.Symlink("../run/systemd/resolve/stub-resolv.conf", resolvConf)
	}
	return nil
}

func planDNS(needed bool) (override, restore plan.Plan) {
	if !needed {
		return nil, nil
	}
	saved := &savedDNS{}
	return plan.Plan{OverrideDNS{saved}}, plan.Plan{RestoreDNS{saved}}
}
