package legacy

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// nameOf is a value for each type of names that lists of a config have.
var nameOf = map[string]string{
	"PackageName": "jq", "PackageList": "list.yaml", "KernelArgs": "quiet", "OverlayPath": "/etc", "UnitName": "sshd", "Unit": "sshd.service", "Port": "22", "Path": "list.yaml", "KeyFile": "list.yaml",
	"SSHKey":      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3tYlXJ0EhpvJHpbXFjUu0UcUZtZ5uSWmNIkkJpFQ8T a",
	"AccountName": "wheel", "Service": "sshd", "PreviewFeature": "uki", "HostName": "web", "LocaleName": "nb_NO.UTF-8", "KeepGlob": "/var/log/x", "DataSource": "NoCloud",
	"SudoCommand": "/usr/bin/id", "SecretName": "token", "KernelVersion": "6.1.0",
}

// notNames are the lists in which an item may well be there twice.
var notNames = []string{"os.packages.debconfSelections", "arguments"}

// listed calls use for every list of single values below a type, with the path to it, and the text that comes before and behind its items.
func listed(at reflect.Type, path, before, behind string, use func(path, before, behind string, item reflect.Type)) {
	for at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	if at.Kind() != reflect.Struct {
		return
	}
	if _, own := reflect.New(at).Interface().(config.Unmarshaler); own {
		return
	}
	if _, own := reflect.New(at).Interface().(config.Scalar); own {
		return
	}
	for _, f := range config.Fields(at) {
		p, b := strings.TrimPrefix(path+"."+f.Key, "."), before+"{"+f.Key+": "
		if f.Type.Kind() != reflect.Slice {
			listed(f.Type, p, b, "}"+behind, use)
			continue
		}
		item := f.Type.Elem()
		use(p, b, "}"+behind, item)
		listed(item, p+"[0]", b+"[", "]}"+behind, use)
	}
}

// TestNamesThatAreThereTwice writes a name twice into every list of both schemas.
func TestNamesThatAreThereTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list.yaml"), []byte("packages: [a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, root := range []any{step.Config{}, Config{}} {
		listed(reflect.TypeOf(root), "", "", "", func(path, before, behind string, item reflect.Type) {
			value := nameOf[item.Name()]
			if e, is := reflect.New(item).Interface().(config.Enum); is {
				value = e.Values()[0]
			}
			if value == "" {
				_, scalar := reflect.New(item).Interface().(config.Scalar)
				if (item.Kind() == reflect.String || scalar) && !slices.ContainsFunc(notNames, func(n string) bool { return strings.HasSuffix(path, n) }) {
					t.Errorf("%s: no name of type %s is known to the test", path, item)
				}
				return
			}
			tried++
			text := before + "[\n" + value + ",\n" + value + "]" + behind
			doc, report := config.Parse(filepath.Join(dir, "c.yaml"), []byte(text))
			doc.Decode(reflect.New(reflect.TypeOf(root)).Interface(), config.Options{})
			if !slices.ContainsFunc(report.Problems(), func(p config.Problem) bool {
				return p.Path == path+"[1]" && p.Line == 3 && strings.Contains(p.Message, "in the list twice, first in line 2")
			}) {
				t.Errorf("%s: found %v", text, report.Problems())
			}
		})
	}
	if tried < 25 {
		t.Errorf("tried %d lists only", tried)
	}
}

// TestWhatContradicts: what is in two lists that exclude each other, and files that overwrite each other, in both schemas.
func TestWhatContradicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ yaml, want string }{
		{"os: {packages: {install: [a, b], remove: [b]}}", "os.packages.remove[0]: warning: b is to be removed and installed"},
		{"os: {packages: {update: [b], remove: [a, b]}}", "os.packages.update[0]: error: b is to be removed and updated"},
		{"os: {packages: {update: [b], remove: [b], install: [b]}}", "os.packages.remove[0]: warning: b is to be removed and installed"},
		{"os: {services: {enable: [b], disable: [b]}}", "os.services.disable[0]: error: b is to be enabled and disabled"},
		{"SystemConfig: {PackagesInstall: [a], PackagesRemove: [a]}", "SystemConfig.PackagesRemove[0]: warning: a is to be removed and installed"},
		{"SystemConfig: {PackagesUpdate: [a], PackagesRemove: [a]}", "SystemConfig.PackagesUpdate[0]: error: a is to be removed and updated"},
		{"os: {additionalFiles: [{content: a, destination: /etc/x}, {content: b, destination: /etc//x}]}", "os.additionalFiles[1].destination: warning: /etc/x is the destination of two files"},
		{"iso: {additionalFiles: [{content: a, destination: /x}, {content: b, destination: /x}]}", "iso.additionalFiles[1].destination: warning: /x is the destination of two files"},
		{"pxe: {additionalFiles: [{content: a, destination: /x}, {content: b, destination: /x}]}", "pxe.additionalFiles[1].destination: warning: /x is the destination of two files"},
		{"SystemConfig: {AdditionalFiles: {a: /x, b: /x}}", "SystemConfig.AdditionalFiles.b: warning: /x is the destination of two files"},
		{"SystemConfig: {AdditionalFiles: {a: [/x, {Path: /x}]}}", "SystemConfig.AdditionalFiles.a[1]: warning: /x is the destination of two files"},
		{"SystemConfig: {Services: {Enable: [a, {Name: a}]}}", "SystemConfig.Services.Enable[1]: warning: this is in the list twice"},
	} {
		doc, report := config.Parse(t.TempDir()+"/c.yaml", []byte(c.yaml))
		if strings.HasPrefix(c.yaml, "System") {
			var old Config
			doc.Decode(&old, config.Options{})
		} else {
			step.Decode(doc, config.Options{})
		}
		var got []string
		for _, p := range report.Problems() {
			got = append(got, p.Path+": "+map[bool]string{true: "warning", false: "error"}[p.Warning]+": "+p.Message)
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: %q, want %q", c.yaml, got, c.want)
		}
	}
}
