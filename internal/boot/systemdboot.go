package boot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/rootfs"
)

// systemdBoot are boot loader entries that systemd-boot reads, on the EFI system partition or on one for /boot.
// What kernel-install makes stays named as it is: by machine identifier or entry token, and with a boot counter.
type systemdBoot struct{ bls }

// esp is where the filesystem with the entries is mounted.
func (s systemdBoot) esp() string { return strings.TrimSuffix(s.Scheme.Entries, entriesDir) }

// Change adds arguments to the entries, and to the file that kernel-install makes later ones from.
func (s systemdBoot) Change(files Files, c Change) (Changed, error) {
	done, err := s.bls.Change(files, c)
	if err != nil {
		return done, err
	}
	made, err := s.laterCmdline(files)
	done.Files = append(done.Files, made...)
	return done, err
}

// pluginDir tells that an image has kernel-install.
const pluginDir = "/usr/lib/kernel/install.d"

// laterCmdline gives an image that has kernel-install, and no arguments for the entries that it makes, those of
// its first normal entry: kernel-install would take the arguments of the running kernel, which is that of a build
// machine, or none.
func (s systemdBoot) laterCmdline(files Files) ([]string, error) {
	if plugins, _ := files.ReadDir(pluginDir); len(plugins) == 0 {
		return nil, nil
	}
	if _, err := files.ReadFile(kernelCmdline); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	args, err := Args(files, s.Scheme)
	if err != nil || len(args) == 0 {
		return nil, err
	}
	args = slices.DeleteFunc(args, func(a string) bool {
		return slices.Contains(entrysOwn, kargs.Name(a))
	})
	text, err := kargs.Plain.Join(args)
	if err != nil {
		return nil, err
	}
	return write(files, []edit{{kernelCmdline, text + "\n", 0o644}})
}

// Lags compares the kernels in /boot, and their initramfs images, with the copies that the entries load.
func (s systemdBoot) Lags(files Files, kernels []Kernel) string {
	m, err := s.Entries(files)
	if err != nil {
		return "the entries cannot be read: " + err.Error()
	}
	var why []string
	for _, k := range kernels {
		entries := m.of(k)
		if len(entries) == 0 {
			why = append(why, "no entry loads "+k.Image)
		}
		for _, c := range s.copies(entries, k) {
			if !sameContent(files, c.of, c.at) {
				why = append(why, c.at+" is not what "+c.of+" is")
			}
		}
	}
	for _, e := range m.Entries {
		if v := e.kernelVersion(); v != "" && modules(files, v) == "" && !slices.ContainsFunc(kernels, func(k Kernel) bool { return k.Version == v }) {
			why = append(why, e.File+" loads the kernel "+v+", which is not there any more")
		}
	}
	return strings.Join(why, "; ")
}

// of are the entries of a kernel.
func (m *Menu) of(k Kernel) (found []Entry) {
	for _, e := range m.Entries {
		if base := path.Base(e.Kernel.Place.Path); e.kernelVersion() == k.Version || base == path.Base(k.Image) && strings.HasSuffix(base, k.Version) {
			found = append(found, e)
		}
	}
	return found
}

// kernelVersion is what the place of the kernel says, since the version in an entry is one to sort by:
// TOKEN/VERSION/linux as kernel-install names it, or vmlinuz-VERSION.
func (e Entry) kernelVersion() string {
	dir, base := path.Split(e.Kernel.Place.Path)
	if version, ok := strings.CutPrefix(base, "vmlinuz-"); ok {
		return version
	}
	if parts := strings.Split(strings.Trim(dir, "/"), "/"); base == "linux" && len(parts) >= 2 {
		return parts[len(parts)-1]
	}
	return ""
}

// bootCopy is a copy of a file of /boot where the boot loader reads it.
type bootCopy struct{ of, at string }

func (s systemdBoot) copies(entries []Entry, k Kernel) (found []bootCopy) {
	add := func(of string, r Ref) {
		c := bootCopy{of, path.Join(s.esp(), r.Place.Path)}
		if c.of != c.at && !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	for _, e := range entries {
		add(k.Image, e.Kernel)
		for _, r := range e.Initrds {
			if base := path.Base(r.Place.Path); k.Initramfs != "" && (base == path.Base(k.Initramfs) || base == "initrd") {
				add(k.Initramfs, r)
			}
		}
	}
	return found
}

func sameContent(files Files, a, b string) bool {
	x, errX := files.ReadAs(rootfs.UnifiedImage, a)
	y, errY := files.ReadAs(rootfs.UnifiedImage, b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Refresh brings copies up to date, has kernel-install make entries for kernels that have none, and remove those of
// kernels that are gone. An entry that there is stays, with its name: a second one without a boot counter would keep
// the first from ever being called good.
func (s systemdBoot) Refresh(ctx context.Context, t Target, gone []Kernel) error {
	kernels, err := Kernels(t.Root)
	if err != nil {
		return err
	}
	m, err := s.Entries(t.Root)
	if err != nil {
		return err
	}
	var lack []Kernel
	for _, k := range kernels {
		entries := m.of(k)
		if len(entries) == 0 {
			lack = append(lack, k)
		}
		for _, c := range s.copies(entries, k) {
			if err := t.copyFile(c.of, c.at); err != nil {
				return err
			}
		}
	}
	if t.Programs == nil || !t.Programs.Has("kernel-install") {
		return nil // what is missing is found when the image is checked
	}
	return s.kernelInstall(ctx, t, m, lack, gone)
}

// copyFile replaces a copy by what it is a copy of, unless it is the same already.
func (t Target) copyFile(from, to string) error {
	if sameContent(t.Root, from, to) {
		return nil
	}
	data, err := t.Root.ReadAs(rootfs.UnifiedImage, from)
	if err != nil {
		return err
	}
	return t.Root.WriteFile(to, data, 0o644)
}

// kernelInstall has the image make and remove entries. That it succeeds says little: it does nothing where it finds no
// place for entries.
func (s systemdBoot) kernelInstall(ctx context.Context, t Target, m *Menu, lack, gone []Kernel) error {
	if _, err := s.laterCmdline(t.Root); err != nil {
		return err
	}
	if err := s.pinToken(t.Root, m); err != nil {
		return err
	}
	for _, k := range lack {
		argv := []string{"kernel-install", "add", k.Version, k.Image}
		if k.Initramfs != "" {
			argv = append(argv, k.Initramfs)
		}
		if err := t.Run(ctx, Command{argv, s.environment()}); err != nil {
			return err
		}
	}
	for _, k := range gone {
		if len(m.of(k)) == 0 {
			continue
		}
		if err := t.Run(ctx, Command{[]string{"kernel-install", "remove", k.Version}, s.environment()}); err != nil {
			return err
		}
	}
	m, err := s.Entries(t.Root)
	if err != nil {
		return err
	}
	for _, k := range lack {
		if len(m.of(k)) == 0 {
			return fmt.Errorf("the image's kernel-install made no boot entry for the kernel %s in %s: does /etc/kernel/install.conf set another layout than bls?", k.Version, s.Scheme.Entries)
		}
	}
	return nil
}

// environment tells kernel-install and its plugins where entries are: it looks for a mounted FAT filesystem of the
// right type, which it does not see here.
func (s systemdBoot) environment() []string {
	return []string{"BOOT_ROOT=" + s.esp(), "SYSTEMD_ESP_PATH=" + s.esp(), "SYSTEMD_RELAX_ESP_CHECKS=1", "SYSTEMD_RELAX_XBOOTLDR_CHECKS=1"}
}

const entryToken = "/etc/kernel/entry-token"

// pinToken writes down what entries are named by, where that is neither written down nor the machine identifier that the
// image has now: kernel-install would make entries under another name, or none.
func (s systemdBoot) pinToken(files Files, m *Menu) error {
	if _, err := files.ReadFile(entryToken); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	token := m.token()
	id, err := files.ReadFile("/etc/machine-id")
	if err != nil && !errors.Is(err, fs.ErrNotExist) || token == "" || token == strings.TrimSpace(string(id)) {
		return err
	}
	_, err = write(files, []edit{{entryToken, token + "\n", 0o644}})
	return err
}

// token is what kernel-install's entries are named by: TOKEN-VERSION.conf, which loads /TOKEN/VERSION/linux.
func (m *Menu) token() string {
	for _, e := range m.Entries {
		v := e.kernelVersion()
		token := strings.TrimSuffix(e.ID, "-"+v)
		if v != "" && token != e.ID && path.Join("/", token, v, "linux") == path.Clean("/"+e.Kernel.Place.Path) {
			return token
		}
	}
	return ""
}

var counter = regexp.MustCompile(`\+([0-9]+)(?:-[0-9]+)?$`)

// withoutCounter cuts the boot counter off the name of an entry: NAME+LEFT or NAME+LEFT-DONE (Boot Loader
// Specification, "Boot counting"). left is empty where nothing is counted.
func withoutCounter(name string) (id, left string) {
	m := counter.FindStringSubmatchIndex(name)
	if m == nil {
		return name, ""
	}
	return name[:m[0]], name[m[2]:m[3]]
}

// EntryID is the name by which systemd-boot knows what it boots from a file, and how many boots are left to try it
// where that is counted.
func EntryID(file string) (id, tries string) {
	base := path.Base(file)
	return withoutCounter(strings.TrimSuffix(base, path.Ext(base)))
}

// Install puts systemd-boot on the EFI system partition, as bootctl does, and makes the entries anew.
func (s systemdBoot) Install(ctx context.Context, t Target, o Setup) error {
	o.ESP = s.esp()
	if err := o.InstallSystemdBoot(t); err != nil {
		return err
	}
	if err := t.Root.MkdirAll(path.Dir(kernelCmdline), 0o755); err != nil {
		return err
	}
	args := append([]string{"root=" + o.Root, "ro"}, o.RootFlags...)
	args = slices.Concat(args, o.SELinux, o.Args)
	text, err := kargs.Plain.Join(args)
	if err != nil {
		return err
	}
	if _, err := write(t.Root, []edit{{kernelCmdline, text + "\n", 0o644}}); err != nil {
		return err
	}
	if err := s.resetArgs(t.Root, args); err != nil {
		return err
	}
	if err := s.Refresh(ctx, t, nil); err != nil {
		return err
	}
	m, err := s.Entries(t.Root)
	if err != nil {
		return err
	}
	if err := s.pinToken(t.Root, m); err != nil {
		return err
	}
	return Verify(t.Root, s.Scheme, o.Args)
}

// resetArgs gives the entries of this system these arguments and no other, but for the machine identifier.
func (s systemdBoot) resetArgs(files Files, args []string) error {
	own, err := s.own(files)
	if err != nil {
		return err
	}
	for _, e := range own {
		have, err := e.args()
		if err != nil {
			return err
		}
		args := slices.Concat(args, slices.DeleteFunc(slices.Clone(have), func(a string) bool { return kargs.Name(a) != "systemd.machine_id" }))
		options, err := kargs.Plain.Join(args)
		if err != nil {
			return err
		}
		for _, i := range slices.Backward(e.find("options")) {
			e.lines = slices.Delete(e.lines, i, i+1)
		}
		if _, err := write(files, []edit{{e.file, line(e.text()) + "options " + options + "\n", 0o644}}); err != nil {
			return err
		}
	}
	return nil
}

// systemdBootDir is where packages have systemd-boot.
const systemdBootDir = "/usr/lib/systemd/boot/efi/"

// LacksSystemdBoot names the EFI program of systemd-boot that the image should have and does not; "" where it has it.
func (s Setup) LacksSystemdBoot(t Target) string {
	program := s.Fill(systemdBootDir + "systemd-boot@ARCH@.efi")
	if t.Root.Exists(program) || t.Root.Exists(program+".signed") {
		return ""
	}
	return program
}

// InstallSystemdBoot writes what bootctl does, but for the random seed, which no two systems may share. Where the image
// has systemd-boot signed for shim, and shim, firmware starts shim.
func (s Setup) InstallSystemdBoot(t Target) error {
	esp := s.ESP
	if missing := s.LacksSystemdBoot(t); missing != "" {
		return fmt.Errorf("the image has no EFI boot loader: %s is missing; install the package that holds it (systemd-boot, systemd-boot-efi or systemd-boot-unsigned)", missing)
	}
	own, first := s.Fill(systemdBootDir+"systemd-boot@ARCH@.efi"), s.Fill("/usr/lib/shim/shim@ARCH@.efi.signed")
	if t.Root.Exists(own + ".signed") {
		own += ".signed"
	}
	boot := strings.ToUpper(s.Fill("EFI/BOOT/boot@ARCH@.efi"))
	copies := [][2]string{{own, s.Fill("EFI/systemd/systemd-boot@ARCH@.efi")}, {own, boot}}
	if strings.HasSuffix(own, ".signed") && t.Root.Exists(first) {
		copies = [][2]string{copies[0], {own, s.Fill("EFI/BOOT/grub@ARCH@.efi")}, {first, boot}, {s.Fill("/usr/lib/shim/mm@ARCH@.efi.signed"), s.Fill("EFI/BOOT/mm@ARCH@.efi")}}
	}
	for _, c := range copies {
		data, err := t.Root.ReadAs(rootfs.Program, c[0])
		if err != nil {
			return err
		}
		if err := t.writeOnESP(esp, c[1], data); err != nil {
			return err
		}
	}
	return s.loaderFiles(t, esp)
}

// loaderFiles are the folder of entries and what marks it for kernel-install, and a first configuration.
func (s Setup) loaderFiles(t Target, esp string) error {
	if err := t.Root.MkdirAll(esp+entriesDir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"/loader/entries.srel": "type1\n", "/loader/loader.conf": "timeout 0\n"} {
		if t.Root.Exists(esp + name) {
			continue
		}
		if err := t.Root.WriteFile(esp+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// LoaderConf is loader.conf, systemd-boot's configuration.
type LoaderConf struct {
	File    string
	Default string // glob of the entries to boot
	Line    int    // that says so
}

// ReadLoaderConf reads the configuration beside a folder of entries; an empty one where there is none.
func ReadLoaderConf(files Files, s Scheme) LoaderConf {
	c := LoaderConf{File: path.Join(path.Dir(cmp.Or(s.Entries, espDirs[1]+entriesDir)), "loader.conf")}
	data, _ := files.ReadFile(c.File)
	e := parseEntry(c.File, string(data), false)
	for _, i := range e.find("default") { // the last counts
		_, c.Default = keyValue(e.lines[i])
		c.Line = i + 1
	}
	return c
}

// Selects tells whether a glob of loader.conf is for an entry. Versions of systemd-boot differ in whether a boot counter
// belongs to the name; one of both is enough.
func (c LoaderConf) Selects(e Entry) bool {
	for _, name := range []string{path.Base(e.File), e.ID + path.Ext(e.File)} {
		if ok, err := path.Match(strings.ToLower(c.Default), strings.ToLower(name)); ok && err == nil {
			return true
		}
	}
	return false
}
