package boot

import (
	"context"
	"encoding/binary"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

func (m memory) MkdirAll(string, fs.FileMode) error { return nil }

func (m memory) Exists(name string) bool {
	_, err := m.Stat(m.key(name))
	return err == nil
}

func (m memory) Remove(name string) error {
	delete(m.MapFS, m.key(name))
	return nil
}

// kernelInstall stands for an image's programs. It does what do says.
type kernelInstall struct {
	runs []string
	env  []string
	do   func(args []string)
}

func (k *kernelInstall) Has(name string) bool { return name == "kernel-install" }

func (k *kernelInstall) Run(_ context.Context, c *hostcmd.Cmd, _ ...sandbox.Option) error {
	k.runs, k.env = append(k.runs, c.String()), c.Env
	if k.do != nil {
		k.do(c.Args)
	}
	return nil
}

const (
	sdID    = "0123456789abcdef0123456789abcdef"
	sdEntry = "title Debian\nversion 6.1\nmachine-id " + sdID + "\nsort-key debian\noptions root=UUID=1 ro systemd.machine_id=" + sdID +
		"\nlinux /" + sdID + "/6.1/linux\ninitrd /" + sdID + "/6.1/initrd.img-6.1\n"
	sdFile = "/efi/loader/entries/" + sdID + "-6.1.conf"
)

// sdFiles is an image with systemd-boot whose entries kernel-install made.
func sdFiles() memory {
	return image(map[string]string{
		sdFile: sdEntry, "/efi/" + sdID + "/6.1/linux": "K1", "/efi/" + sdID + "/6.1/initrd.img-6.1": "I1", "/efi/loader/loader.conf": "timeout 0\n",
		"/boot/vmlinuz-6.1": "K1", "/boot/initrd.img-6.1": "I1", "/lib/modules/6.1/modules.dep": "",
		"/etc/machine-id": sdID + "\n", "/usr/lib/kernel/install.d/90-loaderentry.install": "",
	})
}

// TestSystemdBootArguments: arguments stand in the entry, under the name that it has, and in what later ones are made from.
func TestSystemdBootArguments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file    string // of the entry
		cmdline string // "-" for none
		want    string
	}{
		"none to make later entries from": {sdFile, "-", "root=UUID=1 ro x=1\n"},
		"there":                           {sdFile, "root=UUID=1 ro\n", "root=UUID=1 ro x=1\n"},
		"a comment at its end":            {sdFile, "root=UUID=1\nro\n# don't add anything", "# don't add anything\nroot=UUID=1\nro x=1\n"},
		"empty":                           {sdFile, "", "x=1\n"},
		"counted":                         {strings.Replace(sdFile, ".conf", "+3-1.conf", 1), "-", "root=UUID=1 ro x=1\n"},
		"another token":                   {"/efi/loader/entries/debian-6.1.conf", "-", "root=UUID=1 ro x=1\n"},
	} {
		files := sdFiles()
		delete(files.MapFS, files.key(sdFile))
		_ = files.WriteFile(c.file, []byte(sdEntry), 0o644)
		if c.cmdline != "-" {
			_ = files.WriteFile(kernelCmdline, []byte(c.cmdline), 0o644)
		}
		s := files.scheme(t)
		if _, err := changeArgs(files, s, []string{"x=1"}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := Verify(files, s, []string{"x=1"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(strings.Replace(sdEntry, sdID+"\nlinux", sdID+" x=1\nlinux", 1), files.text(t, c.file)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(c.want, files.text(t, kernelCmdline)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		before := maps.Clone(files.MapFS)
		if done, err := changeArgs(files, s, []string{"x=1"}); err != nil || len(done.Files) > 0 || !maps.Equal(before, files.MapFS) {
			t.Errorf("%s: a second run changes %q, %v", name, done.Files, err)
		}
	}
}

// TestDroppedEverywhere: an argument that goes comes back with no later kernel.
func TestDroppedEverywhere(t *testing.T) {
	t.Parallel()
	files := sdFiles()
	_ = files.WriteFile(kernelCmdline, []byte("root=UUID=1 ro selinux=0\n"), 0o644)
	_ = files.WriteFile(sdFile, []byte(strings.Replace(sdEntry, "ro ", "ro selinux=0 ", 1)), 0o644)
	if _, err := changeArgs(files, files.scheme(t), []string{"quiet"}, "selinux"); err != nil {
		t.Fatal(err)
	}
	if got := files.text(t, kernelCmdline) + files.text(t, sdFile); strings.Contains(got, "selinux") || strings.Count(got, "quiet") != 2 {
		t.Error(got)
	}
}

// TestRefresh has kernels without entries, copies that are old, and a kernel-install that does nothing.
func TestRefresh(t *testing.T) {
	t.Parallel()
	files := sdFiles()
	loader := files.scheme(t).Loader()
	kernels := func() []Kernel {
		k, err := Kernels(files)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if why := loader.Lags(files, kernels()); why != "" {
		t.Fatal(why)
	}
	_ = files.WriteFile("/boot/initrd.img-6.1", []byte("I2"), 0o644)
	_ = files.WriteFile("/boot/vmlinuz-6.2", []byte("K2"), 0o644)
	_ = files.WriteFile("/boot/initrd.img-6.2", []byte("I2"), 0o644)
	_ = files.WriteFile("/etc/machine-id", nil, 0o644) // made anew when the image boots
	why := loader.Lags(files, kernels())
	if !strings.Contains(why, "no entry loads /boot/vmlinuz-6.2") || !strings.Contains(why, "initrd.img-6.1 is not what /boot/initrd.img-6.1 is") {
		t.Errorf("%q", why)
	}
	p := &kernelInstall{}
	if err := loader.Refresh(t.Context(), Target{Root: files, Programs: p}, nil); err == nil || !strings.Contains(err.Error(), "made no boot entry for the kernel 6.2") {
		t.Errorf("a kernel-install that does nothing: %v", err)
	}
	p.do = func([]string) {
		_ = files.WriteFile("/efi/loader/entries/"+sdID+"-6.2.conf", []byte(strings.ReplaceAll(sdEntry, "6.1", "6.2")), 0o644)
		_ = files.WriteFile("/efi/"+sdID+"/6.2/linux", []byte("K2"), 0o644)
		_ = files.WriteFile("/efi/"+sdID+"/6.2/initrd.img-6.2", []byte("I2"), 0o644)
	}
	p.runs = nil
	if err := loader.Refresh(t.Context(), Target{Root: files, Programs: p}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"kernel-install add 6.2 /boot/vmlinuz-6.2 /boot/initrd.img-6.2"}, p.runs); d != "" {
		t.Error(d)
	}
	if !slices.Contains(p.env, "BOOT_ROOT=/efi") {
		t.Errorf("kernel-install is not told where: %q", p.env)
	}
	if got := files.text(t, entryToken); got != sdID+"\n" {
		t.Errorf("what entries are named by would be lost with the machine identifier: %q", got)
	}
	if got := files.text(t, kernelCmdline); got != "root=UUID=1 ro\n" {
		t.Errorf("entries would have the arguments of the machine that builds: %q", got)
	}
	if why := loader.Lags(files, kernels()); why != "" {
		t.Error(why)
	}
}

// TestRefreshKeepsCountedEntries: an entry that is counted gets no second one, and one of a kernel that is gone goes.
func TestRefreshKeepsCountedEntries(t *testing.T) {
	t.Parallel()
	files := sdFiles()
	delete(files.MapFS, files.key(sdFile))
	_ = files.WriteFile(strings.Replace(sdFile, ".conf", "+3.conf", 1), []byte(sdEntry), 0o644)
	_ = files.WriteFile("/boot/vmlinuz-6.1", []byte("K2"), 0o644)
	_ = files.WriteFile("/efi/loader/entries/old.conf", []byte(strings.ReplaceAll(sdEntry, "6.1", "5.9")), 0o644)
	loader := files.scheme(t).Loader()
	if why := loader.Lags(files, []Kernel{{Version: "6.1", Image: "/boot/vmlinuz-6.1"}}); !strings.Contains(why, "old.conf loads the kernel 5.9, which is not there any more") {
		t.Error(why)
	}
	p := &kernelInstall{}
	if err := loader.Refresh(t.Context(), Target{Root: files, Programs: p}, []Kernel{{Version: "5.9", Image: "/boot/vmlinuz-5.9"}}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"kernel-install remove 5.9"}, p.runs); d != "" {
		t.Error(d)
	}
	if got := files.text(t, "/efi/"+sdID+"/6.1/linux"); got != "K2" {
		t.Errorf("the copy is %q", got)
	}
}

// TestRefreshFromModules has kernels that lie with their modules only, whose initramfs kernel-install makes.
func TestRefreshFromModules(t *testing.T) {
	t.Parallel()
	files := sdFiles()
	for _, name := range []string{"/boot/vmlinuz-6.1", "/boot/initrd.img-6.1"} {
		_ = files.Remove(name)
	}
	_ = files.WriteFile("/usr/lib/modules/6.1/vmlinuz", []byte("K1"), 0o644)
	_ = files.WriteFile("/usr/lib/modules/6.2/vmlinuz", []byte("K2"), 0o644)
	loader := files.scheme(t).Loader()
	kernels, err := Kernels(files)
	if why := loader.Lags(files, kernels); err != nil || why != "no entry loads /usr/lib/modules/6.2/vmlinuz" {
		t.Errorf("%q, %v", why, err)
	}
	p := &kernelInstall{do: func([]string) {
		_ = files.WriteFile("/efi/loader/entries/"+sdID+"-6.2.conf", []byte(strings.ReplaceAll(sdEntry, "6.1", "6.2")), 0o644)
	}}
	if err := loader.Refresh(t.Context(), Target{Root: files, Programs: p}, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"kernel-install add 6.2 /usr/lib/modules/6.2/vmlinuz"}, p.runs); d != "" {
		t.Error(d)
	}
}

// TestInstallSystemdBoot: what bootctl writes, without what no two systems may share.
func TestInstallSystemdBoot(t *testing.T) {
	t.Parallel()
	const own, shim = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "/usr/lib/shim/shimx64.efi.signed"
	setup := Setup{Arch: "x86_64", ESP: "/efi", Root: "UUID=2", Args: []string{"x=1"}}
	for name, c := range map[string]struct {
		programs map[string]string
		first    string // what firmware starts
		second   string
	}{
		"unsigned":               {map[string]string{own: "S"}, "S", ""},
		"signed without shim":    {map[string]string{own: "S", own + ".signed": "SS"}, "SS", ""},
		"signed, through shim":   {map[string]string{own + ".signed": "SS", shim: "M", "/usr/lib/shim/mmx64.efi.signed": "MM"}, "M", "SS"},
		"shim, nothing for it":   {map[string]string{own: "S", shim: "M"}, "S", ""},
		"no systemd-boot at all": {map[string]string{shim: "M"}, "", ""},
	} {
		files := sdFiles()
		for f, text := range c.programs {
			_ = files.WriteFile(f, []byte(text), 0o644)
		}
		target := Target{Root: files, Programs: &kernelInstall{}}
		s := setup.Scheme(files.scheme(t), target)
		err := s.Loader().Install(t.Context(), target, setup)
		if c.first == "" {
			if err == nil || !strings.Contains(err.Error(), own+" is missing") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := files.text(t, "/efi/EFI/BOOT/BOOTX64.EFI"); got != c.first {
			t.Errorf("%s: firmware starts %q", name, got)
		}
		if got, _ := files.ReadFile("/efi/EFI/BOOT/grubx64.efi"); string(got) != c.second {
			t.Errorf("%s: shim starts %q", name, got)
		}
		if got := files.text(t, sdFile); !strings.HasSuffix(got, "options root=UUID=2 ro x=1 systemd.machine_id="+sdID+"\n") || strings.Contains(got, "UUID=1") {
			t.Errorf("%s: %s", name, got)
		}
		if got := files.text(t, kernelCmdline); got != "root=UUID=2 ro x=1\n" {
			t.Errorf("%s: later kernels: %q", name, got)
		}
		if files.Exists("/efi/loader/random-seed") {
			t.Errorf("%s: every copy of the image would have the same random seed", name)
		}
	}
}

// TestSchemeOfASetup: an image without GRUB gets systemd-boot if it has that, one with GRUB keeps it.
func TestSchemeOfASetup(t *testing.T) {
	t.Parallel()
	const program = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	debian := &distro.GRUB{Dir: "/boot/grub", Programs: []distro.EFIProgram{{From: "/usr/lib/shim/shim@ARCH@.efi.signed"}}}
	for name, c := range map[string]struct {
		now   Kind
		grub  *distro.GRUB
		files map[string]string
		esp   string
		want  Kind
	}{
		"systemd-boot":                {Systemd, debian, nil, "/efi", Systemd},
		"nothing, both there":         {None, debian, map[string]string{program: "", "/usr/lib/shim/shimx64.efi.signed": ""}, "/efi", Mkconfig},
		"nothing, systemd-boot there": {None, debian, map[string]string{program: ""}, "/efi", Systemd},
		"a distribution unknown":      {None, nil, map[string]string{program: ""}, "/efi", Systemd},
		"no EFI system partition":     {None, nil, map[string]string{program: ""}, "", None},
		"GRUB":                        {Mkconfig, debian, map[string]string{program: ""}, "/efi", Mkconfig},
		"entries":                     {BLS, debian, nil, "/efi", BLS},
	} {
		got := Setup{GRUB: c.grub, Arch: "x86_64", ESP: c.esp}.Scheme(Scheme{Kind: c.now}, Target{Root: image(c.files)})
		if got.Kind != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestFirmwareDecides: of two loaders that an image has, the one counts that firmware starts.
func TestFirmwareDecides(t *testing.T) {
	t.Parallel()
	const cfg, boot, second = "/boot/grub/grub.cfg", "/boot/efi/EFI/BOOT/BOOTX64.EFI", "/boot/efi/EFI/BOOT/grubx64.efi"
	systemd, shim, other := program(".sdmagic", "#### LoaderInfo: systemd-boot 257 ####"), program(".sbat", "shim,4,UEFI shim,shim,15,https://x\n"), program("mods", "x")
	for name, c := range map[string]struct {
		files map[string]string
		want  Kind
	}{
		"GRUB's configuration was left": {map[string]string{boot: systemd}, Systemd},
		"through shim":                  {map[string]string{boot: shim, second: systemd}, Systemd},
		"in lower case":                 {map[string]string{strings.Replace(boot, "BOOTX64.EFI", "bootx64.efi", 1): systemd}, Systemd},
		"shim starts GRUB":              {map[string]string{boot: shim, second: other}, Legacy},
		"GRUB":                          {map[string]string{boot: other, "/boot/efi/EFI/systemd/systemd-bootx64.efi": systemd}, Legacy},
		"no program":                    {map[string]string{boot: "MZ"}, Legacy},
	} {
		files := image(c.files)
		_ = files.WriteFile(cfg, []byte("menuentry x {\n linux /vmlinuz-1\n}\n"), 0o644)
		_ = files.WriteFile("/boot/efi/loader/entries/a-1.conf", []byte("linux /a/1/linux\n"), 0o644)
		if s := files.scheme(t); s.Kind != c.want {
			t.Errorf("%s: %s, because %q", name, s, s.Trail)
		}
	}
	files := image(map[string]string{boot: systemd, cfg: "menuentry x {\n linux /vmlinuz-1\n}\n"})
	if s := files.scheme(t); s.Kind != Legacy {
		t.Errorf("without entries: %s", s)
	}
}

// program is an EFI program with one section.
func program(section, text string) string {
	const head, start = 0x40, 0x200
	b := make([]byte, start+len(text))
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], head)
	copy(b[head:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[head+4:], 0x8664)
	binary.LittleEndian.PutUint16(b[head+6:], 1)
	s := b[head+24:]
	copy(s, section)
	binary.LittleEndian.PutUint32(s[8:], uint32(len(text)))
	binary.LittleEndian.PutUint32(s[16:], uint32(len(text)))
	binary.LittleEndian.PutUint32(s[20:], start)
	copy(b[start:], text)
	return string(b)
}

func TestLoaderConf(t *testing.T) {
	t.Parallel()
	entry := Entry{ID: "arch-6.1", File: "/efi/loader/entries/arch-6.1+3.conf"}
	for glob, want := range map[string]bool{
		"arch-6.1.conf": true, "arch-6.1+3.conf": true, "arch*": true, "ARCH-6.1.conf": true, "arch-6.1": false, "debian*": false, "[": false,
	} {
		files := image(map[string]string{"/efi/loader/loader.conf": "#default x\ntimeout 3\ndefault " + glob + "\n"})
		c := ReadLoaderConf(files, Scheme{Kind: Systemd, Entries: "/efi/loader/entries"})
		if c.Default != glob || c.Line != 3 || c.Selects(entry) != want {
			t.Errorf("%s: %+v", glob, c)
		}
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"a": {"a", ""}, "a+3": {"a", "3"}, "a+0-3": {"a", "0"}, "6.1+deb13-cloud": {"6.1+deb13-cloud", ""}, "6.1+deb13+2-1": {"6.1+deb13", "2"}, "a+x": {"a+x", ""},
	} {
		if id, left := withoutCounter(name); id != want[0] || left != want[1] {
			t.Errorf("%s: %q, %q", name, id, left)
		}
	}
}
