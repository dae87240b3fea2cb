package generalize

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
)

const (
	machineIDFile  = "/etc/machine-id"
	entryTokenFile = "/etc/kernel/entry-token"
	rowMachineID   = "machine-id"
)

// presetName comes before what packages and administrators have: the first line about a unit counts.
const presetName = "0-generalize.preset"

// resetID takes the machine identifier away, with what the system would do on its first boot and should not.
func (s Clean) resetID(m *machine.Machine, sys *identity.System) error {
	if !slices.ContainsFunc(s.rows(), func(r identity.Row) bool { return r.Name == rowMachineID }) || sys.Keeps(machineIDFile) {
		return nil
	}
	if err := pinEntries(m); err != nil {
		return err
	}
	way, err := s.way(m)
	if err != nil {
		return err
	}
	text := ""
	if way == idUninitialized {
		if err := guardFirstBoot(m); err != nil {
			return err
		}
		text = "uninitialized\n"
	}
	if to, err := m.Root.Readlink(machineIDFile); err == nil {
		m.Log.Warn("/etc/machine-id is a link; a file takes its place", "to", to)
		if err := m.Root.Remove(machineIDFile); err != nil {
			return err
		}
	}
	return m.Root.WriteFile(machineIDFile, []byte(text), 0o444)
}

// way is what the file is to hold.
func (s Clean) way(m *machine.Machine) (MachineID, error) {
	why := s.whyEmpty(m)
	switch {
	case s.MachineID == idUninitialized && why != "":
		return "", fmt.Errorf("machineId cannot be uninitialized: %s; write \"machineId: empty\", or leave it out", why)
	case s.MachineID != "":
		return s.MachineID, nil
	case why != "":
		m.Log.Info("/etc/machine-id becomes an empty file", "because", why)
		return idEmpty, nil
	}
	return idUninitialized, nil
}

// whyEmpty says why a boot must not be the first to systemd.
func (s Clean) whyEmpty(m *machine.Machine) string {
	if s.readOnly(m, true) {
		return "the root cannot be written at boot, so that every boot would be the first"
	}
	for _, kind := range []string{"system", "user"} {
		if _, lost := (identity.Units{Root: m.Root, Kind: kind}).Presets(); len(lost) > 0 {
			return "presets cannot leave these units as they are, for which only some of the links are there: " + strings.Join(lost, ", ")
		}
	}
	return ""
}

// readOnly tells whether /etc cannot be written at boot: by any service, or by systemd as it starts.
func (s Clean) readOnly(m *machine.Machine, early bool) bool {
	text, _ := m.Root.ReadFile("/etc/fstab") // without one, systemd mounts the root writable
	readOnly, covered := s.ReadOnly, s.EarlyEtc || !early && s.WritableEtc
	for _, e := range disk.ParseFstab(string(text)).Entries() {
		switch ro := slices.Contains(e.Options, "ro"); e.Target {
		case "/":
			readOnly = readOnly || ro
		case "/etc":
			covered = covered || !ro && (!early || slices.Contains(e.Options, "x-initrd.mount"))
		}
	}
	return readOnly && !covered
}

// guardFirstBoot keeps systemd's first boot from changing which units start, and from asking questions on the console.
func guardFirstBoot(m *machine.Machine) error {
	for _, kind := range []string{"system", "user"} {
		u := identity.Units{Root: m.Root, Kind: kind}
		text, _ := u.Presets()
		if text == "" {
			continue
		}
		dir := "/etc/systemd/" + kind + "-preset"
		if err := m.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		text = "# Which units started when the image was generalized: the first boot leaves them so.\n" + text
		if err := m.Root.WriteFile(path.Join(dir, presetName), []byte(text), 0o644); err != nil {
			return err
		}
	}
	u := identity.Units{Root: m.Root, Kind: "system"}
	for _, name := range u.Names() {
		if text := withoutQuestions(u.Text(name)); text != "" {
			if err := writeDropIn(m, name, "generalize.conf", text); err != nil {
				return err
			}
		}
	}
	return nil
}

var question = regexp.MustCompile(`\s--prompt(-[-a-z]+)?(=\S+)?\b`)

// withoutQuestions is a drop-in by which a unit of the first boot asks nothing: nobody is there, and the boot would wait.
func withoutQuestions(unit string) string {
	if !slices.Contains(identity.Values(unit, "ConditionFirstBoot"), "yes") {
		return ""
	}
	for line := range strings.Lines(unit) {
		if command, ok := strings.CutPrefix(line, "ExecStart="); ok && question.MatchString(command) {
			return "[Service]\nExecStart=\nExecStart=" + strings.TrimSpace(question.ReplaceAllString(command, "")) + "\n"
		}
	}
	return ""
}

func writeDropIn(m *machine.Machine, unit, name, text string) error {
	dir := "/etc/systemd/system/" + unit + ".d"
	if err := m.Root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return m.Root.WriteFile(path.Join(dir, name), []byte(text), 0o644)
}

// pinEntries writes down what kernel-install names boot entries by, where that is the machine identifier: the next kernel
// would be put elsewhere, and nobody would boot it.
func pinEntries(m *machine.Machine) error {
	text, _ := m.Root.ReadFile(machineIDFile) // an image may have none
	id := strings.TrimSpace(string(text))
	if len(id) != 32 || m.Root.Exists(entryTokenFile) || !namesEntries(m, id) {
		return nil
	}
	if err := m.Root.MkdirAll(path.Dir(entryTokenFile), 0o755); err != nil {
		return err
	}
	return m.Root.WriteFile(entryTokenFile, []byte(id+"\n"), 0o644)
}

// namesEntries tells whether boot entries, unified kernel images or folders of kernels have the identifier in their name.
func namesEntries(m *machine.Machine, id string) bool {
	sys := Clean{}.system(m)
	row := identity.Row{How: identity.Delete, Globs: []string{"{esp}/" + id, "{esp}/loader/entries/" + id + "-*", "{esp}/EFI/Linux/" + id + "-*"}}
	return len(sys.Find(row)) > 0
}
