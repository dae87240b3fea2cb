package legacy

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/step"
)

var update = flag.Bool("update", false, "write what is reported into the golden files")

// problemCase is one config and what is reported about it.
type problemCase struct{ name, yaml, want string }

const reported = "\n---- reported"

// goldens lists the files of cases.
func goldens(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/problems*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

// readCases reads the cases of a golden file.
func readCases(t testing.TB, file string) (cases []problemCase) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split("\n"+string(data), "\n=== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		yaml, want, _ := strings.Cut(rest, reported)
		cases = append(cases, problemCase{name, yaml, strings.Trim(want, "\n")})
	}
	return cases
}

func report(t *testing.T, yaml string) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	doc, r := config.Parse(filepath.Join(dir, "config.yaml"), []byte(yaml))
	if !r.Failed() {
		WarnEmpty(doc, Load(doc, config.Options{CheckFiles: true}))
	}
	var b strings.Builder
	r.Render(&b, false)
	for _, p := range r.Problems() {
		if p.Line < 0 || p.Column < 1 || p.EndColumn <= p.Column {
			t.Errorf("impossible place: %+v", p)
		}
	}
	return strings.TrimRight(strings.ReplaceAll(sectionKeys.ReplaceAllString(b.String(), "$1 ..."), dir, "DIR"), "\n")
}

// sectionKeys are the keys of os and of the top level, to which new sections add theirs.
var sectionKeys = regexp.MustCompile(`(known here: (?:hostname|baseConfigs),).*`)

// TestProblems compares every message, place, underline and hint with what a person has approved.
func TestProblems(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range goldens(t) {
		compareCases(t, f, seen)
	}
	if len(seen) < 200 {
		t.Errorf("only %d different configs", len(seen))
	}
}

// compareCases checks one golden file, or writes it. seen collects configs.
func compareCases(t *testing.T, file string, seen map[string]bool) {
	t.Helper()
	var all strings.Builder
	for _, c := range readCases(t, file) {
		if seen[c.yaml] {
			t.Errorf("%s: the config is here twice", c.name)
		}
		seen[c.yaml] = true
		got := report(t, c.yaml)
		all.WriteString("=== " + c.name + "\n" + c.yaml + reported + "\n" + got + "\n")
		if d := cmp.Diff(c.want, got); d != "" && !*update {
			t.Errorf("%s (go test -update shows all):\n%s", c.name, d)
		}
	}
	if !*update {
		return
	}
	if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, yaml string) *step.Config {
	t.Helper()
	doc, r := config.Parse("testdata/config.yaml", []byte(yaml))
	c := Load(doc, config.Options{CheckFiles: true})
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLowering compares configs in both schemas that mean the same.
func TestLowering(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"host name": {"SystemConfig: {Hostname: h1}", "os: {hostname: h1}"},
		"packages": {
			"SystemConfig: {PackagesInstall: [vim], PackagesRemove: [a], PackagesUpdate: [b], UpdateBaseImagePackages: true}",
			"os: {packages: {install: [vim], remove: [a], update: [b], updateExistingPackages: true}}",
		},
		"services as names":   {"SystemConfig: {Services: {Enable: [sshd], Disable: [cron]}}", "os: {services: {enable: [sshd], disable: [cron]}}"},
		"services as objects": {"SystemConfig: {Services: {Enable: [{Name: sshd}]}}", "os: {services: {enable: [sshd]}}"},
		"modules": {
			"SystemConfig: {Modules: {Load: [{Name: a}], Disable: [{Name: b}]}}",
			"os: {modules: [{name: a, loadMode: always}, {name: b, loadMode: disable}]}",
		},
		"verity": {
			"SystemConfig: {Verity: {DataPartition: {IdType: PartLabel, Id: root}, HashPartition: {IdType: PartUuid, Id: 0a1b2c3d-1111-4222-8333-444455556666}}}",
			`storage: {verity: [{id: root-verity, name: root, corruptionOption: panic, dataDevice: {idType: part-label, id: root},
				hashDevice: {idType: part-uuid, id: 0a1b2c3d-1111-4222-8333-444455556666}}]}`,
		},
		"verity on a new disk": {
			`Disks: [{PartitionTableType: gpt, MaxSize: 200, Partitions: [{ID: esp, FsType: fat32, Start: 1, End: 9, Flags: [esp]}, {ID: b, FsType: ext4, Start: 9, End: 60},
				{ID: r, FsType: ext4, Name: data, Start: 60, End: 160}, {ID: h, FsType: ext4, Name: tree, Start: 160}]}]
SystemConfig:
  BootType: efi
  PartitionSettings: [{ID: esp, MountPoint: /boot/efi}, {ID: b, MountPoint: /boot}, {ID: r, MountPoint: /, MountOptions: noatime}]
  Verity: {DataPartition: {IdType: PartLabel, Id: data}, HashPartition: {IdType: PartLabel, Id: tree}}`,
			`storage:
  bootType: efi
  disks: [{partitionTableType: gpt, maxSize: 200M, partitions: [{id: esp, type: esp, start: 1M, end: 9M}, {id: b, start: 9M, end: 60M},
    {id: r, label: data, start: 60M, end: 160M}, {id: h, label: tree, start: 160M}]}]
  filesystems: [{deviceId: esp, type: fat32, mountPoint: {path: /boot/efi}}, {deviceId: b, type: ext4, mountPoint: {path: /boot}},
    {deviceId: root-verity, type: ext4, mountPoint: {path: /, options: "noatime,ro"}}]
  verity: [{id: root-verity, name: root, corruptionOption: panic, dataDeviceId: r, hashDeviceId: h}]
os: {bootloader: {resetType: hard-reset}}`,
		},
		"kernel arguments": {"SystemConfig: {KernelCommandLine: {ExtraCommandLine: a=1  b}}", "os: {kernelCommandLine: {extraCommandLine: [a=1, b]}}"},
		"file as path":     {"SystemConfig: {AdditionalFiles: {good.txt: /f}}", "os: {additionalFiles: [{source: good.txt, destination: /f}]}"},
		"file as object": {
			"SystemConfig: {AdditionalFiles: {good.txt: {Path: /f, Permissions: '600'}}}",
			"os: {additionalFiles: [{source: good.txt, destination: /f, permissions: 600}]}",
		},
		"file as list": {
			"SystemConfig: {AdditionalFiles: {good.txt: [/f, {Path: /g}]}}",
			"os: {additionalFiles: [{source: good.txt, destination: /f}, {source: good.txt, destination: /g}]}",
		},
	} {
		old, today := load(t, pair[0]), load(t, pair[1])
		if !old.Lowered || today.Lowered {
			t.Errorf("%s: the schemas were not told apart", name)
		}
		if d := cmp.Diff(today.OS, old.OS); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestDisksOf2023 compares a layout in both schemas.
func TestDisksOf2023(t *testing.T) {
	t.Parallel()
	old := load(t, `
Disks:
- PartitionTableType: gpt
  MaxSize: 4096
  Partitions:
  - {ID: root, FsType: ext4, Start: 9}
  - {ID: esp, FsType: fat32, Start: 1, End: 9, Flags: [esp, boot], Name: EFI}
SystemConfig:
  BootType: efi
  PartitionSettings:
  - {ID: root, MountPoint: /, MountIdentifier: uuid, MountOptions: "noatime"}
  - {ID: esp, MountPoint: /boot/efi}
`)
	today := load(t, `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions:
    - {id: esp, type: esp, start: 1M, end: 9M, label: EFI}
    - {id: root, start: 9M}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid, options: noatime}}
os: {bootloader: {resetType: hard-reset}}
`)
	if d := cmp.Diff(today.Storage, old.Storage); d != "" {
		t.Error(d)
	}
	if old.OS.Bootloader.ResetType != booting.HardReset {
		t.Error("new disks without a new boot loader")
	}
}

func TestUsersOf2023(t *testing.T) {
	t.Parallel()
	c := load(t, `
SystemConfig:
  Users:
  - {Name: a, UID: 5, Password: '*', PasswordHashed: true, SSHPubKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w], PrimaryGroup: g, SecondaryGroups: [h], StartupCommand: /bin/sh, PasswordExpiresDays: 3}
  - {Name: b, PasswordPath: good.txt}
`)
	a, b := c.OS.Users[0], c.OS.Users[1]
	if a.Password.Type != "hashed" || a.Password.Value != "*" || *a.UID != 5 || !a.LenientUID || a.StartupCommand != "/bin/sh" || *a.PasswordExpiresDays != 3 {
		t.Errorf("got %+v", a)
	}
	if b.Password.Type != "plain-text-file" || filepath.Base(b.Password.File.Resolved) != "good.txt" {
		t.Errorf("got %+v", b.Password)
	}
}

func TestPackageListsComeBeforeInlineNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": "packages: [one, two]", "b.yaml": "Packages: [three]"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, r := config.Parse(filepath.Join(dir, "c.yaml"), []byte("os: {packages: {install: [four], installLists: [a.yaml, b.yaml]}}"))
	c := Load(doc, config.Options{CheckFiles: true})
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	var names []packages.PackageName
	for _, l := range c.OS.Packages.InstallLists {
		names = append(names, l.Names...)
	}
	if d := cmp.Diff([]packages.PackageName{"one", "two", "three"}, names); d != "" {
		t.Error(d)
	}
}

func FuzzLoad(f *testing.F) {
	for _, file := range goldens(f) {
		for _, c := range readCases(f, file) {
			f.Add(c.yaml)
		}
	}
	f.Fuzz(func(t *testing.T, yaml string) {
		doc, r := config.Parse("fuzz.yaml", []byte(yaml))
		if !r.Failed() {
			Load(doc, config.Options{})
		}
		for _, p := range r.Problems() {
			if p.Line < 0 || p.Column < 1 || p.EndColumn <= p.Column || p.Message == "" {
				t.Errorf("impossible problem: %+v", p)
			}
		}
		_ = r.Err()
	})
}
