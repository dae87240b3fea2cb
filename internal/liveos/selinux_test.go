package liveos

import (
	"imagecustomizer/internal/boot"

	"slices"
	"testing"

	"imagecustomizer/internal/distro"
)

func TestSELinuxIsOffWhereItMustBe(t *testing.T) {
	t.Parallel()
	m := sample(t)
	m.Facts.Distro = &distro.Distro{}
	packed := Spec{SELinux: true, Filesystem: Filesystem{"squashfs", 3}}
	specs := withoutSELinux(t.Context(), m, []Spec{packed, {SELinux: true, FullOS: true}, {FullOS: true}})
	for i, off := range []bool{false, true, false} {
		med := (&stage{m: m, spec: specs[i]}).medium()
		if got := slices.Contains(med.Args, "selinux=0") && slices.Contains(med.Drop, "enforcing"); got != off {
			t.Errorf("%+v: SELinux is off: %v, want %v", specs[i], got, off)
		}
	}
	if slices.Contains(diskArgs, "selinux") {
		t.Error("what is dropped from a medium was changed for all")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, older := range [][2]string{{"059-1.azl3", "102-11.azl3"}, {"102-7.azl3", "102-11.azl3"}, {"2.20240226-8.azl3", "2.20240226-9.azl3"}, {"1", "1.1"}} {
		if boot.CompareVersions(older[0], older[1]) >= 0 || boot.CompareVersions(older[1], older[0]) <= 0 {
			t.Errorf("%s is older than %s", older[0], older[1])
		}
	}
}
