// Package selinux sets the mode of SELinux (os.selinux) and has files labelled.
package selinux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
)

// SELinux says in which mode the image boots.
type SELinux struct {
	Mode feature.SELinuxMode `yaml:"mode" doc:"disabled; permissive: violations are logged only; enforcing; force-enforcing: enforcing, and /etc/selinux/config cannot change that. Without it the mode stays. Unless it is disabled, all files are labelled at the end of the run, with the image's own policy."`
}

// Used tells whether a mode is asked for.
func (s SELinux) Used() bool { return s.Mode != "" }

// Touches is the file that holds the mode.
func (SELinux) Touches() []feature.Touch { return []feature.Touch{{Path: selinuxConfig}} }

// Plan sets the mode.
func (s SELinux) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{SetSELinux{s.Mode, g.Packages}}, nil
}

// Record is nothing: the history of the reference has no mode of SELinux.
func (SELinux) Record() (any, error) { return nil, nil }

// SetSELinux sets the mode in /etc/selinux/config. Kernel arguments are set with all others.
type SetSELinux struct {
	Mode     feature.SELinuxMode
	Changing bool // packages of this run may bring a policy
}

const selinuxConfig = "/etc/selinux/config"

// Name identifies the step.
func (SetSELinux) Name() string { return "selinux" }

func (s SetSELinux) String() string { return "set SELinux to " + string(s.Mode) }

// Check finds an image without a policy, where no packages change.
func (s SetSELinux) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if err := s.policy(m); err != nil && !s.Changing {
		return []plan.Problem{{Text: err.Error()}}
	}
	return nil
}

// policy looks for what a mode other than disabled needs.
func (s SetSELinux) policy(m *machine.Machine) error {
	if s.Mode == feature.SELinuxOff {
		return nil
	}
	text, err := m.Root.ReadFile(selinuxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the image has no %s, and so no SELinux policy: install %s", selinuxConfig, policyPackages(m))
	}
	if err != nil {
		return err
	}
	kind := distro.ParseOSRelease(string(text))["SELINUXTYPE"]
	if contexts := fileContexts(kind); kind == "" || !m.Root.Exists(contexts) {
		return fmt.Errorf("%s names the policy %q, but the image has no %s: install %s", selinuxConfig, kind, contexts, policyPackages(m))
	}
	return nil
}

func policyPackages(m *machine.Machine) string {
	return probe.PackageFor(m.Facts, pkgmgr.SELinuxPolicy)
}

func fileContexts(kind string) string {
	return path.Join("/etc/selinux", kind, "contexts/files/file_contexts")
}

var selinuxLine = regexp.MustCompile(`(?m)^[ \t]*SELINUX[ \t]*=.*$`)

// Run edits the line of the mode.
func (s SetSELinux) Run(_ context.Context, m *machine.Machine) error {
	if err := s.policy(m); err != nil {
		return err
	}
	text, err := m.Root.ReadFile(selinuxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // disabled, and there is nothing to disable
	}
	if err != nil {
		return err
	}
	line := "SELINUX=" + s.Mode.ConfigMode()
	edited := selinuxLine.ReplaceAllLiteralString(string(text), line)
	if !selinuxLine.Match(text) {
		edited = line + "\n" + edited
	}
	return m.Root.WriteFile(selinuxConfig, []byte(edited), 0o644)
}

const RelabelStep = "selinux.relabel"

// labelDir is where a filesystem is seen while it is labelled, without what is mounted on it.
const labelDir = "/run/imagecustomizer-labels"

// wouldRelabel is what setfiles prints for a file. The name may hold line breaks, and words as those behind it.
var wouldRelabel = regexp.MustCompile(`(?s)^(.*) from (?:\S+|<no context>) to (\S+)(?:\n|$)`)

// labelReader reads what setfiles prints, line by line: names of files below a folder, and the labels that
// they should have.
type labelReader struct {
	dir      string
	set      func(name, label string) error
	record   []string // lines about one file
	labelled int
	err      error // the first
}

// maxRecord bounds what is kept of one file: as many line breaks as a path can hold.
const maxRecord = 4096

func (r *labelReader) line(line string) {
	rest, begins := strings.CutPrefix(line, "Would relabel "+r.dir)
	switch {
	case begins:
		r.flush()
		r.record = []string{rest}
	case r.record != nil && len(r.record) < maxRecord:
		r.record = append(r.record, line)
	}
}

// flush sets the label of the file that the last lines were about.
func (r *labelReader) flush() {
	m := wouldRelabel.FindStringSubmatch(strings.Join(r.record, "\n"))
	if r.record = nil; m == nil || r.err != nil {
		return
	}
	r.err = r.set(r.dir+m[1], m[2])
	r.labelled++
}

// relabel has setfiles tell which labels files should have, and writes them: the program runs
// without the privilege to do so itself.
func relabel(ctx context.Context, m *machine.Machine, contexts, dir string) error {
	c := hostcmd.New("setfiles", "-n", "-m", "-v", "-r", labelDir, contexts, dir)
	c.Quiet = true // it prints a line for every file
	r := labelReader{dir: strings.TrimSuffix(dir, "/"), set: m.Root.SetLabel}
	c.OnLine = r.line
	if err := m.Run(ctx, c); err != nil {
		return err
	}
	if r.flush(); r.err != nil {
		return r.err
	}
	m.Log.Debug("labelled files", "filesystem", strings.TrimPrefix(dir, labelDir), "files", r.labelled)
	return nil
}

// Replaces is SELinux's configuration.
func (SetSELinux) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.selinux", feature.Present(m, selinuxConfig)...)
}
