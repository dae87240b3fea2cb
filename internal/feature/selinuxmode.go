package feature

import (
	"strings"
)

// SELinuxMode is a mode of SELinux.
type SELinuxMode string

// Values lists the modes.
func (SELinuxMode) Values() []string {
	return []string{"", SELinuxOff, "permissive", "enforcing", selinuxForce}
}

// ConfigMode is what /etc/selinux/config says for the mode.
func (m SELinuxMode) ConfigMode() string { return strings.TrimPrefix(string(m), "force-") }

// Names are the kernel arguments that a mode replaces.
func (m SELinuxMode) Names() []string {
	if m == "" {
		return nil
	}
	return selinuxNames
}

func (m SELinuxMode) Args() []string {
	switch m {
	case "":
		return nil
	case SELinuxOff:
		return []string{"selinux=0"}
	case selinuxForce:
		return []string{"security=selinux", "selinux=1", "enforcing=1"}
	}
	return []string{"security=selinux", "selinux=1"}
}

const (
	SELinuxOff   = "disabled"
	selinuxForce = "force-enforcing"
)

// selinuxNames are the kernel arguments of SELinux.
var selinuxNames = []string{"security", "selinux", "enforcing"}
