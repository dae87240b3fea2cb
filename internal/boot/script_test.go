package boot

import (
	"testing"

	"imagecustomizer/internal/kargs"

	"github.com/google/go-cmp/cmp"
)

func refs(menu *Menu) (searches, configs []Place) {
	for _, r := range menu.Searches {
		searches = append(searches, r.Place)
	}
	for _, r := range menu.Configs {
		configs = append(configs, r.Place)
	}
	return searches, configs
}

// TestStubs: scripts on the EFI system partition as distributions write them.
func TestStubs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, device, config string
	}{
		"debian":    {"search.fs_uuid 1-2 root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n", "UUID=1-2", "/boot/grub/grub.cfg"},
		"mariner":   {"search -n -u 1-2 -s\nset bootprefix=/boot\nset prefix=$bootprefix/grub2\nconfigfile $bootprefix/grub2/grub.cfg\n", "UUID=1-2", "/boot/grub2/grub.cfg"},
		"azure":     {"search -n -u 1-2 -s\nset prefix=($root)\"/grub2\"\nconfigfile $prefix/grub.cfg\n", "UUID=1-2", "/grub2/grub.cfg"},
		"fedora":    {"search --no-floppy --fs-uuid --set=dev 1-2\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n", "UUID=1-2", "/grub2/grub.cfg"},
		"label":     {"search --label --set=root boot\nconfigfile /grub/grub.cfg\n", "LABEL=boot", "/grub/grub.cfg"},
		"file":      {"search --file --set=root /grub/grub.cfg\nconfigfile /grub/grub.cfg\n", "file:/grub/grub.cfg", "/grub/grub.cfg"},
		"hint":      {"search --fs-uuid --hint hd0,gpt1 --set=root 1-2\nconfigfile /grub.cfg\n", "UUID=1-2", "/grub.cfg"},
		"part-uuid": {"search --part-uuid 1-2 --set\nconfigfile /grub.cfg\n", "PARTUUID=1-2", "/grub.cfg"},
	} {
		menu, err := ReadConfig(image(map[string]string{"/efi/grub.cfg": c.text}), "/efi/grub.cfg")
		if err != nil {
			t.Fatal(err)
		}
		searches, configs := refs(menu)
		if diff := cmp.Diff([]Place{{Device: c.device}}, searches); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]Place{{c.device, c.config}}, configs); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestMenuFollowsScopes: what an entry sets counts in it, and a submenu hands down what it sets.
func TestMenuFollowsScopes(t *testing.T) {
	t.Parallel()
	const script = `search --fs-uuid --set=root TOP
menuentry a {
	search --fs-uuid --set=root A
	linux /a
	initrd /a.img /a2.img
}
menuentry b { linux /b; }
submenu c {
	search --fs-uuid --set=root C
	menuentry d { linux (hd0,msdos1)/d x=1 "y=2 3"; initrd /d.img; }
}
menuentry memtest { linux16 /memtest.bin; }
`
	menu, err := ReadConfig(image(map[string]string{"/boot/grub/grub.cfg": script}), "/boot/grub/grub.cfg")
	if err != nil {
		t.Fatal(err)
	}
	const f = "/boot/grub/grub.cfg"
	ref := func(line int, device, path string) Ref {
		return Ref{File: f, Line: line, Place: Place{device, path}}
	}
	want := []Entry{
		{Title: "a", Text: "linux /a", File: f, Line: 4, Kernel: ref(4, "UUID=A", "/a"), Initrds: []Ref{ref(5, "UUID=A", "/a.img"), ref(5, "UUID=A", "/a2.img")}},
		{Title: "b", Text: "linux /b", File: f, Line: 7, Kernel: ref(7, "UUID=TOP", "/b")},
		{Title: "d", Text: "linux (hd0,msdos1)/d x=1 \"y=2 3\"", File: f, Line: 10, Kernel: ref(10, "hd0,msdos1", "/d"), Initrds: []Ref{ref(10, "UUID=C", "/d.img")}, Arguments: ArgumentsAt([]string{"x=1", "y=2 3"}, Origin{File: f, Line: 10})},
	}
	if diff := cmp.Diff(want, menu.Entries); diff != "" {
		t.Error(diff)
	}
}

// TestMenuVariables: kernels and arguments in variables of files, as on Mariner, and unset ones.
func TestMenuVariables(t *testing.T) {
	t.Parallel()
	files := image(map[string]string{
		"/boot/grub2/grub.cfg": marinerConfig,
		"/boot/mariner.cfg":    envHeader + "mariner_linux=vmlinuz-1\nmariner_cmdline=ro quiet\n",
	})
	menu, err := files.scheme(t).Loader().Entries(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(menu.Entries) != 1 {
		t.Fatalf("%+v", menu)
	}
	e := menu.Entries[0]
	if e.Kernel.Place != (Place{"UUID=1234", "/boot/vmlinuz-1"}) || e.Kernel.Unset != "" {
		t.Errorf("%+v", e.Kernel)
	}
	if len(e.Initrds) != 1 || e.Initrds[0].Unset != "mariner_initrd" {
		t.Errorf("%+v", e.Initrds)
	}
	want := kargs.Cmdline{"rd.auto=1", "root=PARTUUID=5678", "ro", "quiet", "lockdown=integrity", "net.ifnames=0"}
	if diff := cmp.Diff(want, e.Args()); diff != "" {
		t.Error(diff)
	}
}
