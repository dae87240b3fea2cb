package booting

import (
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
)

// TestUKIModes: what a mode is for, and what it leaves as it is.
func TestUKIModes(t *testing.T) {
	t.Parallel()
	grub, unified := boot.Scheme{Kind: boot.Mkconfig}, boot.Scheme{Kind: boot.UKI}
	for _, c := range []struct {
		mode  UKIMode
		base  boot.Scheme
		given feature.Given
		want  []string // in the problems
		steps int
	}{
		{mode: UKICreate, base: grub, steps: 1},
		{mode: UKICreate, base: unified, given: feature.Given{Args: []string{"a"}, SELinux: "enforcing"}, steps: 1},
		{mode: UKIModify, base: grub, want: []string{"boots none"}},
		{mode: UKIPassthrough, base: grub, want: []string{"boots none"}},
		{mode: UKIModify, base: unified, given: feature.Given{Args: []string{"a"}, SELinux: "enforcing"}},
		{mode: UKIModify, base: unified, given: feature.Given{Reset: true}, want: []string{"resetType"}},
		{mode: UKIModify, base: unified, given: feature.Given{NewDisk: true}, want: []string{"boots none"}},
		{mode: UKIPassthrough, base: unified},
		{
			mode: UKIPassthrough, base: unified, given: feature.Given{Args: []string{"a"}, SELinux: "enforcing", Reset: true, EtcEarly: true},
			want: []string{"resetType", "extraCommandLine", "os.overlays", "selinux"},
		},
	} {
		g := c.given
		g.Facts = &machine.Facts{Boot: c.base}
		p, problems := UKI{Mode: c.mode}.Plan(&g)
		ok := len(problems) == len(c.want) && len(p) == c.steps
		for i, want := range c.want {
			ok = ok && strings.Contains(problems[i].Text, want)
		}
		if !ok {
			t.Errorf("%+v: %d steps, %+v", c, len(p), problems)
		}
	}
}

// TestUKIKernels: which kernels get an image.
func TestUKIKernels(t *testing.T) {
	t.Parallel()
	all := []string{"6.1.0-9", "6.1.0-10", "6.12.1"}
	for _, c := range []struct{ kernels, want []string }{
		{nil, all},
		{[]string{"all"}, all},
		{[]string{"newest"}, all[2:]},
		{[]string{"6.1.0-9", "6.12.1"}, []string{"6.1.0-9", "6.12.1"}},
	} {
		var k UKIKernels
		for _, v := range c.kernels {
			k = append(k, KernelVersion(v))
		}
		got := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !k.wants(v, all) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q", c.kernels, got)
		}
	}
	if boot.CompareVersions(all[0], all[1]) >= 0 || boot.CompareVersions(all[1], all[2]) >= 0 {
		t.Error("6.1.0-9 is not older than 6.1.0-10")
	}
}
