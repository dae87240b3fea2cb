package selinux

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

func TestSELinuxMode(t *testing.T) {
	t.Parallel()
	const before = "# a comment with SELINUX=x in it\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"
	for mode, c := range map[feature.SELinuxMode]struct {
		line string
		args string
	}{
		"disabled":        {"SELINUX=disabled", "selinux=0"},
		"permissive":      {"SELINUX=permissive", "security=selinux selinux=1"},
		"enforcing":       {"SELINUX=enforcing", "security=selinux selinux=1"},
		"force-enforcing": {"SELINUX=enforcing", "security=selinux selinux=1 enforcing=1"},
	} {
		m := featuretest.Tree(t, map[string]string{"etc/selinux/config": before, "etc/selinux/targeted/contexts/files/file_contexts": ""})
		featuretest.MustRun(t, m, SetSELinux{Mode: mode})
		want := strings.Replace(before, "SELINUX=enforcing", c.line, 1)
		if d := cmp.Diff(want, featuretest.Read(t, m, selinuxConfig)); d != "" {
			t.Errorf("%s: %s", mode, d)
		}
		if got := strings.Join(mode.Args(), " "); got != c.args {
			t.Errorf("%s: kernel arguments %s", mode, got)
		}
	}
}

func TestSELinuxWithoutPolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    feature.SELinuxMode
		manager string
		files   map[string]string
		want    string
	}{
		"no config":     {"permissive", "tdnf", map[string]string{"etc/x": ""}, "install selinux-policy and policycoreutils"},
		"on Debian":     {"permissive", "apt", map[string]string{"etc/x": ""}, "install selinux-basics and selinux-policy-default"},
		"no policy":     {"enforcing", "dnf", map[string]string{"etc/selinux/config": "SELINUXTYPE=mls\n"}, `names the policy "mls", but the image has no /etc/selinux/mls/contexts`},
		"not needed":    {"disabled", "dnf", map[string]string{"etc/x": ""}, ""},
		"a policy":      {"enforcing", "dnf", map[string]string{"etc/selinux/config": "SELINUXTYPE=t\n", "etc/selinux/t/contexts/files/file_contexts": ""}, ""},
		"to be changed": {"enforcing", "", map[string]string{"etc/x": ""}, ""},
	} {
		m := featuretest.Tree(t, c.files)
		m.Facts.PackageManager = c.manager
		var text string
		for _, p := range (SetSELinux{Mode: c.mode, Changing: c.manager == ""}).Check(context.Background(), m) {
			text += p.Text
		}
		if (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestSELinuxDecidesOnLabels looks which plans label files.
func TestSELinuxDecidesOnLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wanted feature.SELinuxMode
		now    string
		want   bool
	}{
		{"", "", false}, {"", "enforcing", true}, {"", "disabled", false}, {"disabled", "enforcing", false}, {"permissive", "", true}, {"force-enforcing", "disabled", true},
	} {
		relabel, _ := PlanRelabel(&feature.Given{SELinux: c.wanted, Facts: &machine.Facts{SELinux: c.now}})
		if (len(relabel) > 0) != c.want {
			t.Errorf("mode %q on an image with %q: labels %v", c.wanted, c.now, !c.want)
		}
	}
}

func TestLabelsOfOddNames(t *testing.T) {
	t.Parallel()
	const d = "/run/labels"
	out := "Would relabel /run/labels/a from <no context> to system_u:object_r:etc_t:s0\n" +
		"Would relabel /run/labels/two\nlines from here to there from a_t to b_t\n" +
		"setfiles: something else\n" +
		"Would relabel /run/labels/x\nWould relabel /etc/shadow from a_t to c_t\n" +
		"Would relabel /run/labels from a_t to root_t"
	want := [][2]string{
		{d + "/a", "system_u:object_r:etc_t:s0"}, {d + "/two\nlines from here to there", "b_t"}, {d + "/x\nWould relabel /etc/shadow", "c_t"}, {d, "root_t"},
	}
	var got [][2]string
	r := labelReader{dir: d, set: func(name, label string) error {
		got = append(got, [2]string{name, label})
		return nil
	}}
	for line := range strings.SplitSeq(out, "\n") {
		r.line(line)
	}
	r.flush()
	if diff := cmp.Diff(want, got); diff != "" || r.labelled != len(want) {
		t.Error(diff)
	}
}
