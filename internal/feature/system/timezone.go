package system

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Timezone is the name of a time zone of the tz database, such as Europe/Oslo.
type Timezone string

// timezoneForm has no "..": the name is a path below zoneinfo.
var timezoneForm = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`)

// Describe tells how the name is written.
func (Timezone) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: timezoneForm.String(), Max: 64}
}

// Validate checks the name's form. Whether there is such a zone, the image knows.
func (z *Timezone) Validate(at *config.At) {
	if !z.Describe().Fits(string(*z)) {
		at.Errorf("%q is not the name of a time zone", string(*z)).Hint("write a name of the tz database, such as \"Europe/Oslo\" or \"UTC\"")
	}
}

// Used tells whether a zone is named.
func (z Timezone) Used() bool { return z != "" }

// Touches are the files that name the zone.
func (Timezone) Touches() []feature.Touch {
	return []feature.Touch{{Path: localtimeFile}, {Path: timezoneFile}}
}

// Plan sets the zone.
func (z Timezone) Plan(*feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{SetTimezone{string(z)}}, nil
}

// Record is the name.
func (z Timezone) Record() (any, error) { return feature.RecordIf(z.Used(), z) }

// The files of localtime(5). Debian's packages keep the name as text too, as long as the file is there.
const (
	localtimeFile = "/etc/localtime"
	timezoneFile  = "/etc/timezone"
	zoneinfo      = "/usr/share/zoneinfo/"
)

// SetTimezone has the system's clock shown in a time zone.
type SetTimezone struct{ Zone string }

// Name identifies the step.
func (SetTimezone) Name() string { return "timezone" }

func (s SetTimezone) String() string { return "set the time zone to " + s.Zone }

// Replaces lists the files that name the zone.
func (SetTimezone) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.timezone", feature.Present(m, localtimeFile, timezoneFile)...)
}

// Check looks for the zone in the image.
func (s SetTimezone) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if fi, err := m.Root.Stat(zoneinfo + s.Zone); err == nil && fi.Mode().IsRegular() {
		return nil
	}
	p := plan.Problem{Path: "os.timezone", Text: "the image has no time zone " + s.Zone, Later: true, Hint: "install the package tzdata in the same run"}
	if m.Root.Exists(zoneinfo) {
		p.Hint = config.DidYouMean(s.Zone, zones(m), "install the package that has it in the same run, such as tzdata-legacy of Debian 13")
	}
	return []plan.Problem{p}
}

// zones are the names of the image's time zones.
func zones(m *machine.Machine) (names []string) {
	_ = m.Root.Walk(zoneinfo, func(name string, e fs.DirEntry) error { // what cannot be read is not suggested
		if e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0 {
			names = append(names, strings.TrimPrefix(name, zoneinfo))
		}
		return nil
	})
	return names
}

// Run replaces the link, as timedatectl does, and the text where there is one.
func (s SetTimezone) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	if err := m.Root.Remove(localtimeFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.Root.Symlink(".."+zoneinfo+s.Zone, localtimeFile); err != nil {
		return err
	}
	if !m.Root.Exists(timezoneFile) {
		return nil
	}
	return m.Root.WriteFile(timezoneFile, []byte(s.Zone+"\n"), 0o644)
}

// Flags sets it.
func (Timezone) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("timezone", "ZONE", "os.timezone", "Time zone, such as Europe/Oslo.")}
}
