package users

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// SSHD is who may log in over SSH, and how.
type SSHD struct {
	RootLogin      RootLogin `yaml:"rootLogin" doc:"Whether root may log in: yes, no, with keys only (prohibit-password), or only for commands that a key names (forced-commands-only)."`
	Authentication *bool     `yaml:"passwordAuthentication" doc:"Whether passwords let in, be they asked for by sshd or by PAM."`
}

// RootLogin says how root may log in.
type RootLogin string

// Values are those of PermitRootLogin, sshd_config(5).
func (RootLogin) Values() []string {
	return []string{"yes", "no", "prohibit-password", "forced-commands-only"}
}

// Used tells whether something is asked for.
func (s SSHD) Used() bool { return s.RootLogin != "" || s.Authentication != nil }

// Touches are the file that holds the settings, and the one that includes it.
func (SSHD) Touches() []feature.Touch { return []feature.Touch{{Path: sshdFile}, {Path: sshdConfig}} }

// Plan writes them.
func (s SSHD) Plan(*feature.Given) (plan.Plan, []plan.Problem) { return plan.Plan{SetSSHD{s}}, nil }

// Record is the lines.
func (s SSHD) Record() (any, error) { return feature.RecordIf(s.Used(), SetSSHD{s}.lines()) }

// The files of sshd_config(5). The first value of a setting wins, and files are read in the order of their names.
const (
	sshdConfig = "/etc/ssh/sshd_config"
	sshdDir    = "/etc/ssh/sshd_config.d"
	sshdFile   = sshdDir + "/00-image.conf"
)

// SetSSHD settles who may log in over SSH.
type SetSSHD struct{ SSHD SSHD }

// Name identifies the step.
func (SetSSHD) Name() string { return "sshd" }

func (s SetSSHD) String() string { return "have sshd do: " + strings.Join(s.lines(), ", ") }

// lines are the settings. Without the third, PAM would still ask for the password.
func (s SetSSHD) lines() (list []string) {
	if s.SSHD.RootLogin != "" {
		list = append(list, "PermitRootLogin "+string(s.SSHD.RootLogin))
	}
	switch a := s.SSHD.Authentication; {
	case a == nil:
	case *a:
		list = append(list, "PasswordAuthentication yes")
	default:
		list = append(list, "PasswordAuthentication no", "KbdInteractiveAuthentication no")
	}
	return list
}

// Replaces lists the files.
func (SetSSHD) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.sshd", append([]string{sshdFile}, feature.Present(m, sshdConfig)...)...)
}

// Check looks for sshd.
func (SetSSHD) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if m.Has("sshd") && m.Root.Exists(sshdConfig) {
		return nil
	}
	return []plan.Problem{{Path: "os.sshd", Text: "the image has no sshd", Hint: feature.Installing(m, pkgmgr.SSHServer), Later: true}}
}

// Run writes the settings and asks the image's sshd what it would do then. Where another file wins, the settings are
// included before all else.
func (s SetSSHD) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	if err := m.Root.MkdirAll(sshdDir, 0o755); err != nil {
		return err
	}
	if err := m.Root.WriteFile(sshdFile, []byte(strings.Join(s.lines(), "\n")+"\n"), 0o600); err != nil {
		return err
	}
	wrong, err := s.wrong(ctx, m)
	if err != nil || wrong == "" {
		return err
	}
	text, err := m.Root.ReadFile(sshdConfig)
	if err != nil {
		return err
	}
	if err := m.Root.WriteFile(sshdConfig, append([]byte("Include "+sshdFile+"\n\n"), text...), 0o600); err != nil {
		return err
	}
	if wrong, err = s.wrong(ctx, m); err == nil && wrong != "" {
		err = fmt.Errorf("sshd of the image would not do what os.sshd says, but %q: a Match block of its configuration wins; mend that, or leave the setting out", wrong)
	}
	return err
}

// throwaway is a host key for asking sshd, on a file system that goes with the run.
const throwaway = "/tmp/imagecustomizer-hostkey"

// wrong asks the image's sshd how it would treat root, and returns what of that is not as it was set.
func (s SetSSHD) wrong(ctx context.Context, m *machine.Machine) (setting string, err error) {
	key, err := throwawayKey()
	if err != nil {
		return "", err
	}
	if err := m.Root.WriteFile(throwaway, key, 0o600); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.Root.Remove(throwaway)) }()
	if err := m.Root.MkdirAll("/run/sshd", 0o755); err != nil { // where Debian's sshd wants to be
		return "", err
	}
	said, err := m.Output(ctx, hostcmd.New(machine.FindProgram(m.Root, "sshd"), "-T", "-h", throwaway, "-C", "user=root,host=localhost,addr=192.0.2.1"))
	if err != nil {
		return "", err
	}
	does := map[string]string{}
	for line := range strings.Lines(said) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		does[k] = v
	}
	for _, l := range s.lines() {
		k, v, _ := strings.Cut(l, " ")
		k = strings.ToLower(k)
		if got := strings.Replace(does[k], "without-password", "prohibit-password", 1); got != v {
			return strings.TrimSpace(k + " " + got), nil
		}
	}
	return "", nil
}

func throwawayKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}
