package legacy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/config"
)

// TestNothingMeansNotSet compares configs in which something has no value with those in which it is left out.
func TestNothingMeansNotSet(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"os: {hostname: VALUE, groups: [{name: a}]}", "os: {groups: [{name: a}]}"},
		{"os: {users: [{name: a, homeDirectory: VALUE, startupCommand: VALUE, uid: VALUE, password: VALUE}]}", "os: {users: [{name: a}]}"},
		{"scripts: {postCustomization: [{content: a, interpreter: VALUE, name: VALUE, network: VALUE}]}", "scripts: {postCustomization: [{content: a}]}"},
		{"scripts: {postCustomization: [{content: a, environmentVariables: {A: b, C: VALUE}}]}", "scripts: {postCustomization: [{content: a, environmentVariables: {A: b}}]}"},
		{"os: {additionalFiles: [{content: a, source: VALUE, destination: /a, permissions: VALUE}]}", "os: {additionalFiles: [{content: a, destination: /a}]}"},
		{"pxe: {bootstrapBaseUrl: VALUE}", "{}"}, {"os: VALUE\nscripts: VALUE", "{}"}, {"os: {selinux: {mode: VALUE}}", "{}"},
		{"os: {packages: {install: VALUE, updateExistingPackages: VALUE}}", "{}"}, {"storage: {resizeDisk: VALUE}", "{}"},
		{"os: {uki: VALUE}\nbaseConfigs: VALUE", "{}"}, {"output: {image: {path: VALUE, format: VALUE}}", "{}"},
		{"SystemConfig: {Hostname: VALUE, Users: VALUE, PackagesInstall: [a]}\nDisks: VALUE", "SystemConfig: {PackagesInstall: [a]}"},
		{"SystemConfig: {Users: [{Name: a, Password: VALUE, PasswordPath: VALUE}]}", "SystemConfig: {Users: [{Name: a}]}"},
	} {
		want := load(t, pair[1])
		for _, nothing := range []string{"null", "~", "Null", "NULL", ""} {
			got := load(t, strings.ReplaceAll(pair[0], "VALUE", nothing))
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s with %q: %s", pair[0], nothing, d)
			}
		}
	}
	for _, pair := range [][2]string{
		{"os: {packages: {install: []}, users: [], groups: [], kernelCommandLine: {}, modules: [], services: {enable: []}}", "{}"},
		{"storage: {disks: [], filesystems: [], verity: [], resizeDisk: {}, shrink: {}}", "{}"}, {"iso: {persistence: {}, rootFilesystem: {}}", "{}"},
		{"os: {users: [{name: a, password: {}, secondaryGroups: []}]}", "os: {users: [{name: a}]}"}, {"baseConfigs: []", "{}"},
		{"Disks: []\nSystemConfig: {Verity: {}, AdditionalFiles: {}, PartitionSettings: []}", "SystemConfig: {}"},
		{`os: {selinux: {mode: ""}, modules: [{name: a, loadMode: ""}], bootloader: {resetType: ""}}`, "os: {modules: [{name: a}]}"},
		{`os: {hostname: !!str null}`, `os: {hostname: "null"}`}, {"os: {hostname: !!binary d2Vi}", "os: {hostname: web}"},
		{`os: {additionalFiles: [{content: "", destination: /a}]}`, `os: {additionalFiles: [{content: '', destination: /a}]}`},
	} {
		if d := cmp.Diff(load(t, pair[1]), load(t, pair[0])); d != "" {
			t.Errorf("%s: %s", pair[0], d)
		}
	}
}

// TestNothingIsRefusedWhereSomethingIsNeeded names the place of each.
func TestNothingIsRefusedWhereSomethingIsNeeded(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"os: {users: [{name: VALUE}]}":                                                    "1:15: error: name has no value",
		"os: {users: [VALUE]}":                                                            "error: this list item is empty",
		"os: {packages: {install: [a, VALUE]}}":                                           "error: this list item is empty",
		"os:\n  groups:\n  - name: VALUE\n    gid: 5":                                     "3:5: error: name has no value",
		"os: {additionalFiles: [{content: VALUE, destination: /a}]}":                      "neither source nor content",
		"SystemConfig: {AdditionalFiles: {good.txt: VALUE}}":                              "1:34: error: good.txt has no destination",
		"SystemConfig: {AdditionalFiles: {good.txt: [VALUE, /a]}}":                        "this item is empty",
		"SystemConfig: {Services: {Enable: [VALUE]}}":                                     "this list item is empty",
		"os: {hostnam: VALUE}":                                                            `1:6: error: unknown key "hostnam"`,
		"os: {overlays: [{mountPoint: /a, lowerDirs: VALUE, upperDir: /b, workDir: /c}]}": "1:34: error: lowerDirs has no value",
	} {
		for _, nothing := range []string{"null", "~"} {
			if got := report(t, strings.ReplaceAll(yaml, "VALUE", nothing)); !strings.Contains(got, want) {
				t.Errorf("%s with %s: no %q in\n%s", yaml, nothing, want, got)
			}
		}
	}
	for yaml, want := range map[string]string{
		"os: {hostname: []}": "hostname: an empty list cannot stand here", "os: {users: {}}": "users: an empty section cannot stand here",
		"os: {packages: []}": "packages: an empty list cannot stand here", `os: {users: [{name: a, password: {type: "", value: x}}]}`: `type: "" is not allowed`,
		"os: {overlays: [{mountPoint: /a, lowerDirs: [], upperDir: /b, workDir: /c}]}": "lowerDirs has no value",
		"os: {additionalFiles: [{content: !!binary '%', destination: /a}]}":            "no base64",
	} {
		if got := report(t, yaml); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", yaml, want, got)
		}
	}
}

func TestMergeKeys(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"os: {users: [&a {name: a, uid: 5, startupCommand: /bin/sh}, {<<: *a, name: b, uid: 6}]}", "os: {users: [{name: a, uid: 5, startupCommand: /bin/sh}, {name: b, uid: 6, startupCommand: /bin/sh}]}"},
		{"os: {users: [&a {name: a, uid: 5}, {name: b, <<: *a, uid: ~}]}", "os: {users: [{name: a, uid: 5}, {name: b}]}"},
		{"os: {users: [&a {name: a}, &b {name: b, startupCommand: /b}, {<<: [*a, *b]}]}", "os: {users: [{name: a}, {name: b, startupCommand: /b}, {name: a, startupCommand: /b}]}"},
		{"os: {users: [&a {name: a, startupCommand: /a}, &b {<<: *a, name: b}, {<<: *b, name: c}]}", "os: {users: [{name: a, startupCommand: /a}, {name: b, startupCommand: /a}, {name: c, startupCommand: /a}]}"},
		{"SystemConfig: {Users: [&a {Name: a, StartupCommand: /a}, {<<: *a, Name: b}]}", "SystemConfig: {Users: [{Name: a, StartupCommand: /a}, {Name: b, StartupCommand: /a}]}"},
		{"os: {hostname: a, <<: ~}", "os: {hostname: a}"}, {"os: {hostname: a, <<: {hostname: b, groups: [{name: g}]}}", "os: {hostname: a, groups: [{name: g}]}"},
	} {
		read := func(yaml string) any {
			doc, r := config.Parse("x.yaml", []byte(yaml))
			c := Load(doc, config.Options{FormOnly: true}) // names may be doubled here
			if err := r.Err(); err != nil {
				t.Errorf("%s: %v", yaml, err)
			}
			return c
		}
		if d := cmp.Diff(read(pair[1]), read(pair[0])); d != "" {
			t.Errorf("%s: %s", pair[0], d)
		}
	}
	for yaml, want := range map[string]string{
		"os: {<<: x}": "1:10: error: \"<<\" merges a mapping", "os: {<<: [{}, 5]}": "1:15: error: \"<<\" merges",
		"os: &a {<<: *a}": "merged into itself", "os: {<<: {hostnam: x}}": `1:11: error: unknown key "hostnam"`, "os: {'<<': {}}": "unknown key",
		"os: {<<: {hostname: -x}}": "1:21: error: hostname", "os: {<<: {}, <<: {}}": "is here twice",
	} {
		if got := report(t, yaml); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", yaml, want, got)
		}
	}
}

// TestMergeKeysAreBounded reads documents in which every level merges the one before many times.
func TestMergeKeysAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 {")
	for i := range 200 {
		fmt.Fprintf(&b, "k%d: x, ", i)
	}
	b.WriteString("}\n")
	for i := range 200 {
		fmt.Fprintf(&b, "a%d: &a%d {<<: *a%d, n%d: x}\n", i+1, i+1, i, i)
	}
	if got := report(t, b.String()); !strings.Contains(got, "too many merge keys") {
		t.Error("no bound")
	}
}

// TestConfigThatSaysNothing: however a config says nothing, it is warned of; one that says something, or is wrong, is not.
func TestConfigThatSaysNothing(t *testing.T) {
	t.Parallel()
	for yaml, warned := range map[string]bool{
		"": true, "os:": true, "os: {hostname: ~, packages: }": true, "storage: {}\nos: {users: [], packages: {install: []}}": true, "~": true, "# nothing": true,
		"os: {hostname: a}": false, "storage: {resizeDisk: auto}": false, "os: {hostnam: ~}": false, "output: {image: {format: raw}}": false,
	} {
		if got := report(t, yaml); strings.Contains(got, "the config is empty") != warned {
			t.Errorf("%q: %s", yaml, got)
		}
	}
}
