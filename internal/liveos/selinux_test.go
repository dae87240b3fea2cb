package liveos

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSELinuxIsOffWhereItMustBe(t *testing.T) {
	t.Parallel()
	spec := Spec{SELinux: true, Filesystem: Filesystem{"squashfs", 3}}
	off := func(st *stage) bool {
		m := st.medium()
		return slices.Contains(m.Args, "selinux=0") && slices.Contains(m.Drop, "enforcing")
	}
	st := staged(t, spec)
	if off(st) {
		t.Error("SELinux is off without a reason")
	}
	if st.spec.FullOS = true; !off(st) {
		t.Error("SELinux is on in an initramfs")
	}
	st.spec.FullOS = false
	if err := os.WriteFile(filepath.Join(st.prepared, selinuxOff), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !off(st) {
		t.Error("SELinux is on, although packages are too old")
	}
	if st.spec.SELinux = false; off(st) {
		t.Error("the image has no SELinux to switch off")
	}
	if slices.Contains(diskArgs, "selinux") {
		t.Error("what is dropped from a medium was changed for all")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, older := range [][2]string{{"059-1.azl3", "102-11.azl3"}, {"102-7.azl3", "102-11.azl3"}, {"2.20240226-8.azl3", "2.20240226-9.azl3"}, {"1", "1.1"}} {
		if compareVersions(older[0], older[1]) >= 0 || compareVersions(older[1], older[0]) <= 0 {
			t.Errorf("%s is older than %s", older[0], older[1])
		}
	}
}
