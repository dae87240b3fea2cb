package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/history"
	"imagecustomizer/internal/feature/live"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/feature/users"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/step"
)

// tree writes files below a new folder and returns it. A text that begins with "-> " is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, link := strings.CutPrefix(text, "-> "); err == nil && link {
			err = os.Symlink(to, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, dir, top string) *Result {
	t.Helper()
	r, err := Load(filepath.Join(dir, top), &Files{}, Options{CheckFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// valid is the config of files that must be valid.
func valid(t *testing.T, files map[string]string) *step.Config {
	t.Helper()
	r := load(t, tree(t, files), "top.yaml")
	if err := r.Report.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Config
}

// three is a chain of three files: a, then b, then the top.
func three(a, b, top string) map[string]string {
	return map[string]string{"a.yaml": a, "b.yaml": "baseConfigs: [{path: a.yaml}]\n" + b, "top.yaml": "baseConfigs: [{path: b.yaml}]\n" + top}
}

var baseFacts = &machine.Facts{
	Distro: &distro.Distro{Name: "Debian"}, PackageManager: "apt", Boot: boot.Scheme{Kind: boot.Mkconfig, Config: "/boot/grub/grub.cfg"},
}

// planned are the steps of a config whose names begin with one of these.
func planned(t *testing.T, c *step.Config, names ...string) (list []string) {
	t.Helper()
	p, problems := step.Plan(c, baseFacts, feature.Inputs{Now: time.Unix(0, 0)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, s := range p {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(s.Name(), n) }) {
			list = append(list, s.String())
		}
	}
	return list
}

// TestFieldsOfAChain is the reference's table of what becomes of a field that several files of a chain have.
func TestFieldsOfAChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field     string
		a, b, top string
		got       func(c *step.Config) any
		want      any
	}{
		{"input.image, the last", "input: {image: {path: a.img}}", "input: {image: {path: b.img}}", "", func(c *step.Config) any { return c.Input.Image.Path.Text }, "b.img"},
		{"storage, only one, in a base", "storage: {reinitializeVerity: all}", "", "storage: {}", func(c *step.Config) any { return c.Storage.ReinitializeVerity }, storage.Reinitialize("all")},
		{"os.hostname, the last", "os: {hostname: a}", "os: {hostname: b}", "os: {modules: []}", func(c *step.Config) any { return c.OS.Hostname }, system.Hostname("b")},
		{"os.selinux, the last", "os: {selinux: {mode: enforcing}}", "os: {selinux: {mode: permissive}}", "os: {selinux: {mode: \"\"}}", func(c *step.Config) any { return c.OS.SELinux.Mode }, feature.SELinuxMode("permissive")},
		{"os.imageHistory cannot be unset", "os: {imageHistory: none}", "", "os: {imageHistory: \"\"}", func(c *step.Config) any { return c.OS.ImageHistory }, history.HistoryMode("none")},
		{"os.bootloader.resetType, if any says so", "os: {bootloader: {resetType: hard-reset}}", "os: {bootloader: {resetType: \"\"}}", "", func(c *step.Config) any { return c.OS.Bootloader.ResetType }, booting.HardReset},
		{"os.kernelCommandLine, one behind the other", "os: {kernelCommandLine: {extraCommandLine: [a]}}", "os: {kernelCommandLine: {extraCommandLine: [b]}}", "os: {kernelCommandLine: {extraCommandLine: [a]}}", func(c *step.Config) any { return fmt.Sprint(c.OS.KernelCommandLine.Extra) }, "[a b a]"},
		{"iso.kernelCommandLine", "iso: {kernelCommandLine: {extraCommandLine: [a]}}", "", "iso: {kernelCommandLine: {extraCommandLine: [c]}}", func(c *step.Config) any { return fmt.Sprint(c.ISO.KernelCommandLine.Extra) }, "[a c]"},
		{"pxe.kernelCommandLine", "pxe: {kernelCommandLine: {extraCommandLine: [a]}}", "pxe: {kernelCommandLine: {extraCommandLine: [b]}}", "", func(c *step.Config) any { return fmt.Sprint(c.PXE.KernelCommandLine.Extra) }, "[a b]"},
		{"iso.additionalFiles", "iso: {additionalFiles: [{content: a, destination: /x}]}", "", "iso: {additionalFiles: [{content: c, destination: /x}]}", func(c *step.Config) any { return len(c.ISO.AdditionalFiles) }, 2},
		{"pxe.additionalFiles", "pxe: {additionalFiles: [{content: a, destination: /x}]}", "", "pxe: {additionalFiles: [{content: c, destination: /x}]}", func(c *step.Config) any { return *c.PXE.AdditionalFiles[1].Content }, "c"},
		{"iso.initramfsType, the last", "iso: {initramfsType: full-os}", "iso: {initramfsType: bootstrap}", "", func(c *step.Config) any { return c.ISO.InitramfsType }, live.InitramfsType("bootstrap")},
		{"iso.kdumpBootFiles, the last", "iso: {kdumpBootFiles: keep}", "", "iso: {kdumpBootFiles: none}", func(c *step.Config) any { return c.ISO.KdumpBootFiles }, live.KdumpBootFiles("none")},
		{"pxe URL, the last", "pxe: {initramfsType: bootstrap, bootstrapBaseUrl: \"http://a/\"}", "", "pxe: {bootstrapBaseUrl: \"http://c/\"}", func(c *step.Config) any { return c.PXE.BootstrapBaseURL }, live.BootURL("http://c/")},
		{"output.image.path, the last", "output: {image: {path: a.vhd}}", "output: {image: {path: b.vhd}}", "output: {image: {format: vhd}}", func(c *step.Config) any { return c.Output.Image.Path.Text + string(c.Output.Image.Format) }, "b.vhdvhd"},
		{"output.image.cosi, the last", "output: {image: {cosi: {compression: {level: 3}}}}", "", "output: {image: {cosi: {compression: {level: 9}}}}", func(c *step.Config) any { return c.Output.Image.COSI.Compression.Level }, 9},
		{"previewFeatures, all of them", "previewFeatures: [uki, btrfs]", "previewFeatures: [btrfs]", "previewFeatures: [create]", func(c *step.Config) any { return fmt.Sprint(c.PreviewFeatures) }, "[uki btrfs create]"},
	} {
		files := three(c.a, c.b, c.top)
		files["a.img"], files["b.img"] = "", ""
		if d := cmp.Diff(c.want, c.got(valid(t, files))); d != "" {
			t.Errorf("%s: %s", c.field, d)
		}
	}
}

// TestStepsOfAChain is the reference's table of the fields that are carried out file by file, or one after the other.
func TestStepsOfAChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field     string
		a, b, top string
		steps     string
		want      []string
	}{
		{
			"packages, a session for each file", "os: {packages: {install: [a], remove: [x]}}", "os: {packages: {updateExistingPackages: true}}", "os: {packages: {remove: [a], install: [x]}}",
			"packages", []string{"remove x; install a", "update all", "remove a; install x"},
		},
		{
			"groups and users, file by file", "os: {groups: [{name: g}], users: [{name: u}]}", "os: {users: [{name: u, secondaryGroups: [g]}]}", "os: {groups: [{name: h}, {name: g}], users: [{name: v}]}",
			"groups users", []string{
				"make sure that group g exists", "add or change user u", "add or change user u", "make sure that group h exists", "make sure that group g exists",
				"add or change user v",
			},
		},
		{
			"all folders before all files", "os: {additionalFiles: [{content: a, destination: /a}], additionalDirs: [{source: d, destination: /da}]}", "", "os: {additionalFiles: [{content: bb, destination: /a}], additionalDirs: [{source: d, destination: /dc}]}",
			"files", []string{"copy folder DIR/d to /da", "copy folder DIR/d to /dc", "write /a (1 bytes given in the config)", "write /a (2 bytes given in the config)"},
		},
		{
			"services, a later file may undo an earlier one", "os: {services: {enable: [s], disable: [r]}}", "os: {services: {disable: [s]}}", "os: {services: {enable: [r]}}",
			"services", []string{"enable service s", "disable service r", "disable service s", "enable service r"},
		},
		{
			"modules, one after the other", "os: {modules: [{name: m, loadMode: always}]}", "", "os: {modules: [{name: m, loadMode: disable}]}",
			"modules", []string{"kernel module m: always", "kernel module m: disable"},
		},
		{
			"scripts, one after the other", "scripts: {postCustomization: [{path: s.sh}], finalizeCustomization: [{content: exit}]}", "scripts: {postCustomization: [{content: exit, name: n}]}", "scripts: {postCustomization: [{path: s.sh}]}",
			"scripts", []string{"run script s.sh", "run script n", "run script s.sh", "run script number 1, given in the config"},
		},
	} {
		files := three(c.a, c.b, c.top)
		files["d/x"], files["s.sh"] = "", "#!/bin/sh\n"
		dir := tree(t, files)
		r := load(t, dir, "top.yaml")
		if err := r.Report.Err(); err != nil {
			t.Errorf("%s: %v", c.field, err)
			continue
		}
		got := strings.ReplaceAll(strings.Join(planned(t, r.Config, strings.Fields(c.steps)...), "\n"), dir, "DIR")
		if d := cmp.Diff(strings.Join(c.want, "\n"), got); d != "" {
			t.Errorf("%s: %s", c.field, d)
		}
	}
}

func TestEveryFileHasItsOwnFolder(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"x/base.yaml": "baseConfigs: [{path: deep/lower.yaml}]\nscripts: {postCustomization: [{path: s.sh}]}\nos: {additionalFiles: [{source: f, destination: /x}]}",
		"x/s.sh":      "#!/bin/sh\n", "x/f": "", "x/deep/lower.yaml": "os: {additionalFiles: [{source: f, destination: /deep}], packages: {installLists: [l.yaml]}}", "x/deep/f": "",
		"x/deep/l.yaml": "packages: [jq]", "y/top.yaml": "baseConfigs: [{path: ../x/base.yaml}]\nos: {additionalFiles: [{source: f, destination: /y}]}\nscripts: {postCustomization: [{content: exit}]}", "y/f": "",
	})
	r := load(t, dir, "y/top.yaml")
	if err := r.Report.Err(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Config.OS.AdditionalFiles {
		got = append(got, string(f.Destination)+" "+strings.TrimPrefix(f.Source.Resolved, dir))
	}
	for _, s := range r.Config.Scripts.PostCustomization {
		got = append(got, strings.TrimPrefix(s.Dir, dir))
	}
	if d := cmp.Diff([]string{"/deep /x/deep/f", "/x /x/f", "/y /y/f", "/x", "/y"}, got); d != "" {
		t.Error(d)
	}
}

func TestAFileOfADiamondCountsOnce(t *testing.T) {
	t.Parallel()
	arg := func(a string) string { return "os: {kernelCommandLine: {extraCommandLine: [" + a + "]}}\n" }
	c := valid(t, map[string]string{
		"root.yaml": arg("root"), "link.yaml": "-> root.yaml",
		"l.yaml": "baseConfigs: [{path: root.yaml}]\n" + arg("l"), "r.yaml": "baseConfigs: [{path: ./x/../link.yaml}]\n" + arg("r"),
		"top.yaml": "baseConfigs: [{path: l.yaml}, {path: r.yaml}, {path: l.yaml}]\n" + arg("top"), "x/y": "",
	})
	if got := fmt.Sprint(c.OS.KernelCommandLine.Extra); got != "[root l r top]" {
		t.Error(got)
	}
}

func TestTheHistoryNamesTheChain(t *testing.T) {
	t.Parallel()
	c := valid(t, three("os: {hostname: a}", "", "os: {hostname: c}"))
	text, err := step.DescribeConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(text["baseConfigs"])
	if !strings.Contains(got, "map[path:a.yaml sha256hash:9ea9") && !strings.Contains(got, "path:b.yaml") || strings.Contains(got, "top.yaml") {
		t.Error(got)
	}
}

// TestMistakesOfAChain: each is reported in the file where it stands.
func TestMistakesOfAChain(t *testing.T) {
	t.Parallel()
	deep := map[string]string{}
	for i := range maxDepth + 3 {
		deep[fmt.Sprintf("n%d.yaml", i)] = fmt.Sprintf("baseConfigs: [{path: n%d.yaml}]", i+1)
	}
	deep["top.yaml"] = "baseConfigs: [{path: n0.yaml}]"
	many := map[string]string{"top.yaml": "baseConfigs:\n"}
	for i := range maxFiles {
		many["top.yaml"] += fmt.Sprintf("- path: m%d.yaml\n", i)
		many[fmt.Sprintf("m%d.yaml", i)] = "os: {hostname: x}"
	}
	base := func(text, top string) map[string]string {
		return map[string]string{"base.yaml": text, "top.yaml": "baseConfigs:\n- path: base.yaml\n" + top}
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // each a part of a line of the report
	}{
		"missing":               {map[string]string{"top.yaml": "baseConfigs:\n- path: gone.yaml\n"}, []string{"top.yaml:2:9: error: there is no base config gone.yaml"}},
		"a folder":              {map[string]string{"top.yaml": "baseConfigs:\n- path: d\n", "d/x": ""}, []string{"top.yaml:2:9: error: cannot read the base config d"}},
		"no path":               {map[string]string{"top.yaml": "baseConfigs:\n- {}\n"}, []string{"top.yaml:2:3"}},
		"a word, not a path":    {map[string]string{"top.yaml": "baseConfigs:\n- base.yaml\n"}, []string{"top.yaml:2:3: error: baseConfigs[0]: expected a mapping"}},
		"itself":                {map[string]string{"top.yaml": "baseConfigs:\n- path: ./top.yaml\n"}, []string{"top.yaml:2:9: error: the base configs lead in a circle: top.yaml -> top.yaml"}},
		"a circle by a link":    {map[string]string{"top.yaml": "baseConfigs: [{path: a.yaml}]", "a.yaml": "baseConfigs:\n- path: b.yaml", "b.yaml": "-> top.yaml"}, []string{"a.yaml:2:9: error: the base configs lead in a circle: top.yaml -> a.yaml -> top.yaml"}},
		"too deep":              {deep, []string{"n19.yaml:1:22: error: base configs of base configs, more than 20 deep"}},
		"too many":              {many, []string{"top.yaml:201:9: error: cannot read the base config m199.yaml: the config is made of more than 200 files"}},
		"in both, all at once":  {base("os:\n  hostnam: x\n  users: [{name: 1}]\n", "os: {hostname: \"a b\"}"), []string{"base.yaml:2:3: error: unknown key \"hostnam\"", "base.yaml:3:18", "top.yaml:3:16"}},
		"not YAML":              {base("os: [a", ""), []string{"base.yaml:1:5: error: a [ is not closed"}},
		"of 2023":               {base("SystemConfig: {Hostname: a}", ""), []string{"base.yaml:1:1: error: a base config is written in today's schema"}},
		"storage twice":         {base("os: {bootloader: {resetType: hard-reset}}\nstorage: {resetPartitionsUuidsType: reset-all}", "storage: {shrink: {}, resizeDisk: auto}"), []string{"top.yaml:3:1: error: storage is set here and in base.yaml, line 2"}},
		"reset in another file": {base("os: {bootloader: {resetType: hard-reset}}", "storage: {resetPartitionsUuidsType: reset-all}"), []string{"top.yaml:3:11: error: new identifiers need a boot loader set up from scratch"}},
		"a bomb":                {base("a: &a [x,x,x,x,x,x,x,x]\n"+bomb(), ""), []string{"base.yaml:1:1: error: unknown key \"a\""}},
		"URLs that exclude each other": {
			base("pxe: {initramfsType: bootstrap, bootstrapBaseUrl: \"http://a/\"}", "pxe:\n  initramfsType: bootstrap\n  bootstrapFileUrl: http://a/b"),
			[]string{"top.yaml:5:21: error: bootstrapFileUrl and bootstrapBaseUrl exclude each other"},
		},
		"overlays of two files": {
			base("os: {overlays: [{mountPoint: /etc, lowerDirs: [/etc], upperDir: /var/a/u, workDir: /var/a/w}]}", "os:\n  overlays:\n  - {mountPoint: /etc, lowerDirs: [/etc], upperDir: /var/b/u, workDir: /var/b/w}"),
			[]string{"top.yaml:5:18: error: two overlays have the mountPoint /etc"},
		},
		"a user twice in one file": {base("os: {users: [{name: u}]}", "os:\n  users:\n  - name: u\n  - name: u"), []string{"top.yaml:6:11: error: u is in this list twice, first in line 5"}},
		"a script out of its folder": {
			map[string]string{"top.yaml": "baseConfigs: [{path: d/base.yaml}]", "s.sh": "#!/bin/sh\n", "d/base.yaml": "scripts:\n  postCustomization:\n  - path: ../s.sh"},
			[]string{"d/base.yaml:3:11: error: ../s.sh is not below the config file's folder"},
		},
	} {
		r := load(t, tree(t, c.files), "top.yaml")
		var text strings.Builder
		r.Report.Render(&text, false)
		for _, w := range c.want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: want %q in\n%s", name, w, text.String())
			}
		}
		if got := len(r.Report.Problems()); got != len(c.want) && name != "a bomb" {
			t.Errorf("%s: %d problems, want %d:\n%s", name, got, len(c.want), text.String())
		}
	}
}

// bomb is YAML whose aliases, written out, are very many.
func bomb() string {
	var b strings.Builder
	for i := 'b'; i < 'n'; i++ {
		fmt.Fprintf(&b, "%c: &%c [%s*%c]\n", i, i, strings.Repeat(fmt.Sprintf("*%c, ", i-1), 9), i-1)
	}
	return b.String()
}

func TestProblemsOfThePlanAreAtTheirPlace(t *testing.T) {
	t.Parallel()
	dir := tree(t, three("os: {users: [{name: a}], services: {enable: [x]}}", "os:\n  users:\n  - name: b\n", "os:\n  users:\n  - name: c\n  services:\n    enable: [y, z]"))
	r := load(t, dir, "top.yaml")
	for path, want := range map[string]string{
		"os.users[0].name": "a.yaml:1", "os.users[1].primaryGroup": "b.yaml:4", "os.users[2]": "top.yaml:4", "os.services.enable[2]": "top.yaml:6", "os.services.enable[0]": "a.yaml:1",
	} {
		if at := r.Place(path); fmt.Sprintf("%s:%d", filepath.Base(at.File()), at.Line()) != want {
			t.Errorf("%s is in %s:%d, want %s", path, at.File(), at.Line(), want)
		}
	}
	p, _ := step.Plan(r.Config, baseFacts, feature.Inputs{})
	var paths []string
	for _, s := range p {
		if s, ok := s.(users.ChangeUser); ok {
			paths = append(paths, s.Path)
		}
		if s, ok := s.(services.SetService); ok {
			paths = append(paths, s.Path)
		}
	}
	if d := cmp.Diff([]string{"os.users[0]", "os.users[1]", "os.users[2]", "os.services.enable[0]", "os.services.enable[1]", "os.services.enable[2]"}, paths); d != "" {
		t.Error(d)
	}
}

// TestRulesOfMerging holds the rules that no field shows by itself.
func TestRulesOfMerging(t *testing.T) {
	t.Parallel()
	report := config.NewReport()
	docs := []*config.Document{report.Parse("a", []byte("w: {a: 1}\ns: true\nn: 1")), report.Parse("b", []byte("w: {b: 2}\ns: false\nn: \"\""))}
	doc := config.Merge(docs, config.Rules{Whole: []string{"w"}, Sticky: []string{"s"}, Filled: true})
	if got := fmt.Sprint(doc.Plain()); got != "map[n:1 s:true w:map[b:2]]" {
		t.Error(got)
	}
	if got := fmt.Sprint(config.Merge(docs, config.Rules{}).Plain()); got != "map[n: s:false w:map[a:1 b:2]]" {
		t.Error(got)
	}
}
