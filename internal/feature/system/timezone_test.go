package system

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestTimezone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct {
		files         map[string]string
		zone          string
		problem, hint string // "" for none
		text          string // of /etc/timezone afterwards
	}{
		{map[string]string{"usr/share/zoneinfo/Europe/Oslo": "TZif", "etc/timezone": "Etc/UTC\n", "etc/localtime": "old"}, "Europe/Oslo", "", "", "Europe/Oslo\n"},
		{map[string]string{"usr/share/zoneinfo/UTC": "TZif", "etc/x": ""}, "UTC", "", "", ""},
		{map[string]string{"usr/share/zoneinfo/Europe/Oslo": "TZif"}, "Europe/Osol", "no time zone Europe/Osol", `"Europe/Oslo"`, ""},
		{map[string]string{"usr/share/zoneinfo/Europe/Oslo": "TZif"}, "Europe", "no time zone Europe", "", ""}, // a directory is none
		{map[string]string{"etc/x": ""}, "UTC", "no time zone UTC", "tzdata", ""},
	} {
		m, step := featuretest.Tree(t, c.files), SetTimezone{c.zone}
		problems := step.Check(ctx, m)
		if c.problem != "" {
			if len(problems) != 1 || !strings.Contains(problems[0].Text, c.problem) || !strings.Contains(problems[0].Hint, c.hint) {
				t.Errorf("%s: %+v, want %q, %q", c.zone, problems, c.problem, c.hint)
			}
			if step.Run(ctx, m) == nil {
				t.Errorf("%s was set all the same", c.zone)
			}
			continue
		}
		if err := step.Run(ctx, m); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", c.zone, problems, err)
			continue
		}
		if to, err := m.Root.Readlink("/etc/localtime"); err != nil || to != "../usr/share/zoneinfo/"+c.zone {
			t.Errorf("%s: link to %q, %v", c.zone, to, err)
		}
		if text, _ := m.Root.ReadFile("/etc/timezone"); string(text) != c.text {
			t.Errorf("%s: /etc/timezone has %q, want %q", c.zone, text, c.text)
		}
	}
}

func TestTimezoneNames(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"Europe/Oslo": true, "UTC": true, "Etc/GMT+5": true, "America/Argentina/Buenos_Aires": true,
		"../../etc/shadow": false, "/Europe/Oslo": false, "Europe/../UTC": false, "Europe/": false, "a b": false,
	} {
		if z := Timezone(name); z.Describe().Fits(name) != good {
			t.Errorf("%q: taken %v", name, !good)
		}
	}
}
