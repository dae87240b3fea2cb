package app

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"imagecustomizer/internal/job"
)

const (
	hostMap = "         0          0 4294967295"
	all     = "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n"
)

func TestConfinementIsExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		confinement
		want []string
	}{
		"a host":              {confinement{all, "unconfined", hostMap}, nil},
		"privileged":          {confinement{all, "", hostMap}, nil},
		"docker's defaults":   {confinement{"Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n", "docker-default (enforce)", hostMap}, []string{"--cap-add SYS_ADMIN", "docker-default", "apparmor=unconfined", "seccomp=unconfined"}},
		"no mknod":            {confinement{strings.Replace(all, "1ffffffffff", "1fff7ffffff", 1), "", hostMap}, []string{"missing: --cap-add MKNOD"}},
		"apparmor complains":  {confinement{all, "docker-default (complain)", hostMap}, nil},
		"selinux":             {confinement{all, "system_u:system_r:container_t:s0:c1,c2", hostMap}, []string{"label=disable"}},
		"selinux, privileged": {confinement{all, "system_u:system_r:spc_t:s0", hostMap}, nil},
		"rootless":            {confinement{all, "", "         0       1000          1"}, []string{"user namespace"}},
		"a user":              {confinement{"Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n", "", hostMap}, []string{"sudo"}},
	} {
		got := c.advice()
		text := strings.Join(got, "; ")
		if len(c.want) == 0 && len(got) > 0 {
			t.Errorf("%s: unasked advice: %s", name, text)
		}
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in %q", name, w, text)
			}
		}
	}
}

// TestRecipesHaveEveryProgram compares the recipes of the container image and of the Debian package with what
// doctor asks for. Only the package may leave out, as suggestions, what boot needs.
func TestRecipesHaveEveryProgram(t *testing.T) {
	t.Parallel()
	for _, recipe := range []string{"Dockerfile", "packaging/control"} {
		text, err := os.ReadFile("../../" + recipe)
		if err != nil {
			t.Fatal(err)
		}
		installed, count := strings.FieldsFunc(string(text), func(r rune) bool { return unicode.IsSpace(r) || r == ',' }), 0
		for _, n := range needs(t.Context(), job.Abilities{}) {
			pkg, ok := strings.CutPrefix(n.mend, "apt-get install ")
			if !ok || n.feature == bootFeature && recipe == "Dockerfile" {
				continue
			}
			count++
			if !slices.Contains(installed, pkg) {
				t.Errorf("%s lacks %s, for %s", recipe, pkg, n.what)
			}
		}
		if count < 5 {
			t.Errorf("doctor asks for only %d packages", count)
		}
	}
}
