package boot

import (
	"os"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"

	"github.com/google/go-cmp/cmp"
)

var (
	// marinerConfig has the shape of Mariner 2.0's grub.cfg.
	marinerConfig = sample("mariner.cfg")
	// debianConfig has the shape of what Debian's grub-mkconfig makes; args stands for the variables
	// GRUB_CMDLINE_LINUX and, in its last place, GRUB_CMDLINE_LINUX_DEFAULT.
	debianConfig = sample("debian.cfg")
)

func sample(name string) string {
	data, err := os.ReadFile("../grub/testdata/" + name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestMarinerConfig(t *testing.T) {
	t.Parallel()
	files := image(map[string]string{"/boot/grub2/grub.cfg": marinerConfig})
	s := files.scheme(t)
	args := []string{"x=1", "dyndbg=file a +p", "memmap=1G$2G"}
	if Verify(files, s, args) == nil {
		t.Error("arguments are found before they were added")
	}
	change, err := changeArgs(files, s, args)
	if err != nil || !slices.Equal(change.Files, []string{"/boot/grub2/grub.cfg"}) || change.Regenerate != nil {
		t.Fatal(change, err)
	}
	want := strings.Replace(marinerConfig, "$kernelopts", "x=1 'dyndbg=file a +p' 'memmap=1G$2G' $kernelopts", 1)
	if d := cmp.Diff(want, files.text(t, "/boot/grub2/grub.cfg")); d != "" {
		t.Error(d)
	}
	if err := Verify(files, s, args); err != nil {
		t.Error(err)
	}
	if change, err := changeArgs(files, s, args); err != nil || change.Files != nil {
		t.Errorf("a second run changes %q, %v", change.Files, err)
	}
}

func TestHandWrittenConfig(t *testing.T) {
	t.Parallel()
	const text = "menuentry 'a' { linux /k root=x ;initrd /i }\nmenuentry 'a (rescue)' {\n  linux /k\n}\nmenuentry b {\n\tlinuxefi /k \\\n\t\tro -- init=1\n}\n\tlinux /k\r\n"
	files := image(map[string]string{"/boot/grub/grub.cfg": text})
	s := files.scheme(t)
	if _, err := changeArgs(files, s, []string{"x=1"}); err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("root=x", "root=x x=1", "init=1", "init=1 x=1", "linux /k\r\n", "linux /k x=1\r\n").Replace(text)
	if d := cmp.Diff(want, files.text(t, "/boot/grub/grub.cfg")); d != "" {
		t.Error(d)
	}
	err := Verify(files, s, []string{"x=1"})
	if err == nil || !strings.Contains(err.Error(), "/boot/grub/grub.cfg:6:") {
		t.Errorf("an argument for init passes for one of the kernel: %v", err)
	}
}

func FuzzConfigEdits(f *testing.F) {
	for _, seed := range []string{marinerConfig, debianConfig, "\tlinux x $kernelopts\r\n", "menuentry {{}}", "linux /k \"$kernelopts\" -- x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := grub.Parse(text)
		if err != nil {
			return
		}
		files := image(map[string]string{"/boot/grub/grub.cfg": text})
		edits, err := script{Scheme{Kind: Legacy, Config: "/boot/grub/grub.cfg"}}.add(files, []string{"new=1", "two words"})
		if err != nil {
			t.Fatal(err)
		}
		again, err := grub.Parse(edits[0].text)
		if err != nil || len(again.Commands) != len(s.Commands) {
			t.Fatalf("%q: %q: %v", text, edits[0].text, err)
		}
		for _, c := range kernels(memory{}, again, nil) {
			if got := kargs.Literal(c.Args()); len(got.Missing([]string{"new=1", "two words"})) > 0 && !got.Has("new") {
				t.Errorf("%q: %q lacks them", text, edits[0].text)
			}
		}
	})
}
