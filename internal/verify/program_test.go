package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// elfProgram is a program or library to be made: nothing but what a loader reads of it.
type elfProgram struct {
	machine elf.Machine // of x86-64 where 0
	interp  string
	needs   []string
	runpath string
	rpath   string
}

// make returns the file (System V ABI, "Object files").
func (p elfProgram) make() string {
	const header, entry, section = 64, 56, 64
	text := []byte{0}
	put := func(s string) uint64 {
		at := len(text)
		text = append(append(text, s...), 0)
		return uint64(at)
	}
	var dynamic []uint64
	for _, n := range p.needs {
		dynamic = append(dynamic, uint64(elf.DT_NEEDED), put(n))
	}
	for tag, value := range map[elf.DynTag]string{elf.DT_RUNPATH: p.runpath, elf.DT_RPATH: p.rpath} {
		if value != "" {
			dynamic = append(dynamic, uint64(tag), put(value))
		}
	}
	dynamic = append(dynamic, 0, 0)
	at := uint64(header + entry)
	interp := append([]byte(p.interp), 0)
	strings, dyn, sections := at+uint64(len(interp)), at+uint64(len(interp)+len(text)), at+uint64(len(interp)+len(text)+8*len(dynamic))
	machine, headers := p.machine, uint16(1)
	if machine == 0 {
		machine = elf.EM_X86_64
	}
	if p.interp == "" {
		headers = 0
	}
	var b bytes.Buffer
	b.WriteString(elf.ELFMAG + "\x02\x01\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, v := range []any{
		uint16(elf.ET_DYN), uint16(machine), uint32(1), uint64(0), uint64(header), sections, uint32(0), uint16(header), uint16(entry), headers, uint16(section), uint16(3), uint16(1),
		uint32(elf.PT_INTERP), uint32(elf.PF_R), at, at, at, uint64(len(interp)), uint64(len(interp)), uint64(1),
		interp, text, dynamic,
		make([]byte, section),
		uint32(0), uint32(elf.SHT_STRTAB), uint64(0), uint64(0), strings, uint64(len(text)), uint32(0), uint32(0), uint64(1), uint64(0),
		uint32(0), uint32(elf.SHT_DYNAMIC), uint64(0), uint64(0), dyn, uint64(8 * len(dynamic)), uint32(1), uint32(0), uint64(8), uint64(16),
	} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	return b.String()
}

// TestUnstartable tries programs of every kind.
func TestUnstartable(t *testing.T) {
	t.Parallel()
	const loader = "/lib64/ld-linux-x86-64.so.2"
	dynamic := func(needs ...string) string { return elfProgram{interp: loader, needs: needs}.make() }
	library := func(needs ...string) string { return elfProgram{needs: needs}.make() }
	root := makeTree(t, map[string]string{
		loader: library(), "/usr/lib/x86_64-linux-gnu/libc.so.6": library("ld-linux-x86-64.so.2"), "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n",
		"/etc/ld.so.conf.d/a.conf": "# where we have ours\n/opt/lib\n", "/opt/lib/liba.so": library("libc.so.6"), "/opt/lib/libbroken.so": "",
		"/usr/lib/systemd/libprivate.so": library("libc.so.6"), "/opt/old/libold.so": library("libolder.so"), "/opt/old/libolder.so": library(), "/opt/lib/libfar.so": library("libnone.so"),
		"/opt/lib/libarm.so": elfProgram{machine: elf.EM_AARCH64}.make(),

		"/good/static": library(), "/good/dynamic": dynamic("libc.so.6"), "/good/configured": dynamic("liba.so"), "/good/link": "->/good/dynamic", "/good/script": "#! /good/script2 -x\n", "/good/script2": "#!/good/static\n",
		"/good/runpath": elfProgram{interp: loader, needs: []string{"libprivate.so", "libc.so.6"}, runpath: "/nowhere:/usr/lib/systemd"}.make(),
		"/good/origin":  elfProgram{interp: loader, needs: []string{"liba.so"}, runpath: "$ORIGIN/../opt/lib"}.make(),
		"/good/rpath":   elfProgram{interp: loader, needs: []string{"libold.so"}, rpath: "/opt/old"}.make(),
		"/good/32bit":   elfProgram{machine: elf.EM_386}.make(), "/good/path": dynamic("/opt/lib/liba.so"),

		"/bad/dangling": "->/lib/systemd/systemd", "/bad/loop": "->loop", "/bad/dir/": "", "/bad/empty": "", "/bad/text": "hello\n", "/bad/truncated": elf.ELFMAG, "/bad/noise": elf.ELFMAG + strings.Repeat("\xff", 300),
		"/bad/arm": elfProgram{machine: elf.EM_AARCH64}.make(), "/bad/loader": elfProgram{interp: "/lib/ld-musl-x86_64.so.1"}.make(),
		"/bad/library": dynamic("libc.so.6", "libgone.so.1"), "/bad/far": dynamic("libfar.so"), "/bad/broken": dynamic("libbroken.so"), "/bad/other": dynamic("libarm.so"),
		"/bad/script": "#!/usr/bin/gone -x\n", "/bad/script2": "#!\n", "/bad/endless": "#!/bad/endless\n",
	})
	s := &system{Image: Image{Root: root, Arch: "x86_64"}, effort: effort{ctx: t.Context()}}
	for name, want := range map[string]string{
		"/bad/dangling": "leads to /lib/systemd/systemd, which the image does not have", "/bad/loop": "cannot be reached: too many levels of symbolic links", "/bad/dir": "is not a file",
		"/bad/empty": "is empty", "/bad/text": "is neither a program nor a script", "/bad/truncated": "is a damaged program: EOF", "/bad/noise": "is a damaged program: ", "/bad/none": "is not there",
		"/bad/arm": "is a program for another machine (EM_AARCH64)", "/bad/loader": "needs the loader /lib/ld-musl-x86_64.so.1, which the image does not have",
		"/bad/library": "needs the library libgone.so.1, which", "/bad/far": "needs the library libnone.so, which", "/bad/broken": "needs the library libbroken.so, which", "/bad/other": "needs the library libarm.so, which",
		"/bad/script": "is a script whose interpreter /usr/bin/gone is not there", "/bad/script2": "is a script that names no interpreter", "/bad/endless": "is a script whose interpreter is a script, and so on",
	} {
		if got := s.unstartable(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	good, err := root.ReadDir("/good")
	if err != nil || len(good) != 11 {
		t.Fatalf("%d programs, %v", len(good), err)
	}
	for _, e := range good {
		if got := s.unstartable("/good/" + e.Name()); got != "" {
			t.Errorf("%s: %s", e.Name(), got)
		}
	}
	if err := root.Chmod("/good/static", 0o644); err != nil {
		t.Fatal(err)
	}
	if got := s.whyNot("/good/script", 0); got != "is a script whose interpreter /good/script2 is a script whose interpreter /good/static is not executable" {
		t.Error(got)
	}
}

// FuzzProgram has programs of any content end in a word about them.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(elfProgram{interp: "/lib/ld.so", needs: []string{"libc.so.6"}, runpath: "$ORIGIN"}.make()))
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &system{Image: Image{Root: makeTree(t, map[string]string{"/p": string(data), "/lib/ld.so": elfProgram{}.make()}), Arch: "x86_64"}, effort: effort{ctx: t.Context()}}
		if text := s.unstartable("/p"); len(text) > 2*maxInterp {
			t.Errorf("%d bytes", len(text))
		}
	})
}

// TestInitIsThere takes away what a system needs at boot, in every way that packages and scripts have.
func TestInitIsThere(t *testing.T) {
	t.Parallel()
	const cfg, units = "/boot/grub/grub.cfg", "/usr/lib/systemd/system/"
	p := newPatient(t, fixture(t, "gpt", []part{espPart, extRoot}, merge(kernelFiles("6.12", "initrd.img-6.12"), efiFiles("/boot/grub"), map[string]string{
		fstabFile:                               "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot/efi vfat umask=0077 0 2\n",
		cfg:                                     "search --fs-uuid --set=root " + rootUUID + "\nmenuentry a {\n\tlinux /boot/vmlinuz-6.12 root=UUID=" + rootUUID + " ro\n\tinitrd /boot/initrd.img-6.12\n}\n",
		"/boot/efi/boot/grub/grub.cfg":          "search.fs_uuid " + rootUUID + " root\nconfigfile /boot/grub/grub.cfg\n",
		"/boot/initrd.img-6.12":                 packedInitramfs(t, "init", "usr/bin/sh"),
		"/usr/lib/modules/6.12/modules.builtin": "kernel/fs/ext4/ext4.ko\n", "/usr/lib/modules/6.12/modules.dep": "kernel/fs/fat/vfat.ko:\n",
		units + "default.target": "[Unit]\nRequires=multi.target\n", units + "multi.target": "[Unit]\nRequires = basic.target a@b.service\nWants=no.service\n", units + "basic.target": "[Unit]\nRequires=-.mount\n", units + "a@.service": "",
	})))
	hide := func(name string) func(*patient) { return func(p *patient) { p.hide(name) } }
	needed := func(name, text string) string { return name + ": there is no " + text + ": .*" }
	p.check(t, []mutation{
		{"init gone", hide("/usr/sbin/init"), `/sbin/init: is not there: the image has no init, and the kernel would have nothing to start but a shell`, false},
		{"init gone, systemd in the initramfs", func(p *patient) {
			p.hide("/usr/sbin/init")
			p.write("/boot/initrd.img-6.12", packedInitramfs(p.t, "init", "usr/lib/systemd/systemd"))
		}, `/sbin/init: is not there; only an initramfs with systemd in it starts /usr/lib/systemd/systemd all the same`, true},
		{"systemd gone", hide("/usr/lib/systemd/systemd"), `/sbin/init: leads to ../lib/systemd/systemd, which the image does not have: the image has no init, .*`, false},
		{"init empty", func(p *patient) { p.write("/usr/lib/systemd/systemd", "") }, `/sbin/init: is empty: the kernel would have nothing to start`, false},
		{"no loader", func(p *patient) { p.write("/usr/lib/systemd/systemd", elfProgram{interp: "/lib64/ld.so"}.make()) }, `/sbin/init: needs the loader /lib64/ld.so, which .*`, false},
		{"no libc", func(p *patient) {
			p.write("/usr/lib/systemd/systemd", elfProgram{interp: "/bin/sh", needs: []string{"libc.so.6"}}.make())
		}, `/sbin/init: needs the library libc.so.6, which .*`, false},
		{"init= of a damaged program", func(p *patient) {
			p.edit(cfg, " ro\n", " init=/usr/lib/own\n")
			p.write("/usr/lib/own", "MZ")
			p.must(p.Root.Chmod("/usr/lib/own", 0o755))
		}, cfg + `:3: init=/usr/lib/own: this program is neither a program nor a script: .*`, false},
		{"no /dev", hide("/dev"), needed("/dev", "directory for devices"), false},
		{"/proc a file", func(p *patient) { p.hide("/proc"); p.write("/proc", "") }, needed("/proc", "directory for what the kernel tells"), false},
		{"no /sys", hide("/sys"), needed("/sys", "directory for what the kernel tells of devices"), false},
		{"no /run", hide("/run"), needed("/run", "directory for files of the running system"), false},
		{"no accounts", hide("/etc/passwd"), needed("/etc/passwd", "list of accounts"), false},
		{"no udev", hide("/usr/lib/systemd/systemd-udevd"), needed("/usr/lib/systemd/systemd-udevd", "udev"), false},
		{"no udev, nothing mounted", func(p *patient) { p.hide("/usr/lib/systemd/systemd-udevd"); p.edit(fstabFile, "umask", "nofail,umask") }, needed("/usr/lib/systemd/systemd-udevd", "udev"), true},
		{"no mount", hide("/usr/bin/mount"), needed("/usr/bin/mount", "program mount"), false},
		{"mount's shell", func(p *patient) { p.edit("/usr/bin/mount", "/bin/sh", "/bin/bash") }, `/usr/bin/mount: is a script whose interpreter /bin/bash is not there, and there is no other program mount: .*`, false},
		{"no modprobe", hide("/usr/sbin/modprobe"), needed("/sbin/modprobe", "program modprobe"), false},
		{"no modprobe, all built in", func(p *patient) {
			p.hide("/usr/sbin/modprobe")
			p.edit("/usr/lib/modules/6.12/modules.builtin", "kernel/fs/ext4", "kernel/fs/fat/vfat.ko\nkernel/fs/ext4")
			p.write("/usr/lib/modules/6.12/modules.dep", "")
		}, needed("/sbin/modprobe", "program modprobe"), true},
		{"no initramfs tool", hide("/usr/sbin/update-initramfs"), needed("/usr/sbin/update-initramfs", "program that makes an initramfs"), true},
		{"root read-only", func(p *patient) { p.edit(fstabFile, "ext4 defaults", "ext4 defaults,ro") }, fstabFile + `:1: mounts the root read-only, and /var with it: .*`, true},
		{"no line for the root", func(p *patient) { p.edit(fstabFile, "UUID="+rootUUID, "#") }, cfg + `:3: the root stays read-only: no line of /etc/fstab is for /, .*`, true},
		{"default.target gone", hide(units + "default.target"), units + `default.target: there is no such unit: .*`, false},
		{"default.target masked", func(p *patient) { p.hide(units + "default.target"); p.link("/dev/null", units+"default.target") }, units + `default.target: is masked: .*`, false},
		{"what it needs", hide(units + "multi.target"), units + `default.target:2: needs multi.target, which .*`, false},
		{"what that needs", hide(units + "basic.target"), units + `multi.target:2: needs basic.target, which .*: systemd cannot start multi.target without`, false},
		{"a service of a template", hide(units + "a@.service"), units + `multi.target:2: needs a@b.service, which .*`, false},
	})
	for name, change := range map[string]func(){
		"init= in all entries": func() { p.hide("/usr/sbin/init"); p.edit(cfg, " ro\n", " init=/usr/lib/systemd/systemd\n") },
		"another init": func() {
			p.hide("/usr/sbin/init")
			p.write("/etc/init", "#!/bin/sh\n")
			p.must(p.Root.Chmod("/etc/init", 0o755))
		},
		"rw, and no fstab":    func() { p.edit(cfg, " ro\n", " rw\n"); p.write(fstabFile, "") },
		"read-only, but /var": func() { p.edit(fstabFile, "ext4 defaults 0 1\n", "ext4 ro 0 1\ntmpfs /var tmpfs defaults 0 0\n") },
	} {
		p.undo = nil
		change()
		p.sound(t, name)
		for i := len(p.undo) - 1; i >= 0; i-- {
			p.undo[i]()
		}
	}
}

// link makes a link.
func (p *patient) link(target, name string) {
	p.t.Helper()
	p.must(p.Root.Symlink(target, name))
	p.undo = append(p.undo, func() { p.must(p.Root.Remove(name)) })
}
