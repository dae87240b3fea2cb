package step

import (
	"context"
	"regexp"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Hostname is the name of the machine.
type Hostname string

// hostnameForm is a DNS name (RFC 1123): labels of 1 to 63 letters, digits and inner hyphens.
var hostnameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// maxHostname is the longest name that Linux takes, in bytes (HOST_NAME_MAX).
const maxHostname = 64

// Describe tells how the name is written.
func (Hostname) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: hostnameForm.String(), Max: maxHostname}
}

// Validate checks the name's form.
func (h *Hostname) Validate(at *config.At) {
	if !hostnameForm.MatchString(string(*h)) || len(*h) > maxHostname {
		at.Errorf("hostname: %q is not a host name", string(*h)).
			Hint("use letters, digits, hyphens inside, and dots between parts; at most %d characters, no \"_\"", maxHostname)
	}
}

func planHostname(c *Config) plan.Plan {
	if c.OS.Hostname == "" {
		return nil
	}
	return plan.Plan{SetHostname{string(c.OS.Hostname)}}
}

// SetHostname writes /etc/hostname.
type SetHostname struct{ Hostname string }

// Name identifies the step.
func (SetHostname) Name() string { return "hostname" }

func (s SetHostname) String() string { return "set the host name to " + s.Hostname }

// Run writes the name without a newline, as the reference does.
func (s SetHostname) Run(_ context.Context, m *machine.Machine) error {
	return m.Root.WriteFile("/etc/hostname", []byte(s.Hostname), 0o644)
}
