//go:build root

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/tinydisk"
)

// writeTree writes files below a new folder and returns it. All may be executed.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestChainOfFiles: each file of a chain is carried out with its own folder, base before derived.
func TestChainOfFiles(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{
		"base/base.yaml": "os: {hostname: base, users: [{name: anna}], additionalFiles: [{source: note, destination: /etc/note}, {source: note, destination: /etc/base-note}]}\n" +
			"scripts: {postCustomization: [{path: s.sh}]}",
		"base/note": "of the base\n", "base/s.sh": "#!/bin/sh\necho base $(ls /_imageconfigs) >> /etc/trace\n",
		"top/top.yaml": "baseConfigs: [{path: ../base/base.yaml}]\nos: {hostname: top, users: [{name: anna, startupCommand: /bin/sh}], additionalFiles: [{source: note, destination: /etc/note}]}\n" +
			"scripts: {postCustomization: [{path: s.sh}, {content: \"echo inline $(ls /_imageconfigs) >> /etc/trace\"}]}",
		"top/note": "of the top\n", "top/s.sh": "#!/bin/sh\necho top $(ls /_imageconfigs) >> /etc/trace\n",
	})
	image, out := filepath.Join(dir, "tiny.raw"), filepath.Join(dir, "out.raw")
	tinydisk.Make(t, image, tinydisk.System())
	status, text := run(t, "--build-dir", dir+"/build", "--image-file", image, "--config-file", dir+"/top/top.yaml", "--output-image-file", out, "--output-image-format", "raw")
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	for file, want := range map[string]string{
		"/etc/hostname": "top", "/etc/note": "of the top\n", "/etc/base-note": "of the base\n",
		"/etc/trace": "base base.yaml note s.sh\ntop note s.sh top.yaml\ninline note s.sh top.yaml\n",
	} {
		if got := tinydisk.Read(t, out, file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	if history := tinydisk.Read(t, out, "/usr/share/image-customizer/history.json"); !strings.Contains(history, `"path": "../base/base.yaml"`) {
		t.Errorf("the history names no base config:\n%s", history)
	}
}

// TestFactsOfTheBaseImage: conditions ask the image itself, and the plan follows.
func TestFactsOfTheBaseImage(t *testing.T) {
	t.Parallel()
	dir := writeTree(t, map[string]string{
		"top.yaml": "variables: {role: {type: string}}\ninclude:\n- {path: d/debian.yaml, when: {distro: debian}}\n- {when: \"version > '12'\", config: {os: {hostname: newer}}}\n" +
			"os: {groups: [{name: \"${{ role }}\"}, {name: never, when: \"distro == 'azurelinux'\"}]}\nprofiles: {p: {os: {groups: [{name: p}]}}}",
		"d/debian.yaml": "os: {hostname: \"${{ role }}-1\", additionalFiles: [{source: note, destination: /etc/note}]}", "d/note": "note\n",
	})
	image, out := filepath.Join(dir, "tiny.raw"), filepath.Join(dir, "out.raw")
	tinydisk.Make(t, image, tinydisk.System())
	status, text := run(t, "--build-dir", dir+"/build", "--image-file", image, "--config-file", dir+"/top.yaml", "--output-image-file", out, "--output-image-format", "raw", "--set", "role=web", "--profile", "p")
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	for file, want := range map[string]string{"/etc/hostname": "web-1", "/etc/note": "note\n"} {
		if got := tinydisk.Read(t, out, file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	if group := tinydisk.Read(t, out, "/etc/group"); !strings.Contains(group, "\nweb:") || !strings.Contains(group, "\np:") || strings.Contains(group, "never") {
		t.Error(group)
	}
}

// TestRenderedChainIsTheSameRun: what a chain of three files makes of a real image, its rendered form makes, file by file.
func TestRenderedChainIsTheSameRun(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1750000000")
	dir := writeTree(t, map[string]string{
		"a/a.yaml": "os:\n  hostname: a\n  groups: [{name: ops}]\n  users: [{name: anna, secondaryGroups: [ops]}]\n  additionalFiles: [{source: note, destination: /etc/note}]\n  kernelCommandLine: {extraCommandLine: [one=1]}\n" +
			"scripts: {postCustomization: [{content: \"echo a >> /srv/trace\"}]}\n",
		"a/note": "note\n",
		"b/b.yaml": "baseConfigs: [{path: ../a/a.yaml}]\nos:\n  additionalDirs: [{source: tree, destination: /srv}]\n  additionalFiles: [{content: b, destination: /etc/note}]\n  services: {enable: [fstrim.timer]}\n" +
			"scripts: {postCustomization: [{content: \"echo b >> /srv/trace\"}]}\n",
		"b/tree/x/y": "y\n",
		"top.yaml": "baseConfigs: [{path: b/b.yaml}]\nos:\n  hostname: top\n  modules: [{name: loop, loadMode: always}]\n  kernelCommandLine: {extraCommandLine: [two=2]}\n" +
			"scripts: {finalizeCustomization: [{content: \"echo top >> /srv/trace\"}]}\n",
	})
	if status, text := run(t, "config", "render", dir+"/top.yaml", "-o", dir+"/flat.yaml"); status != 0 || strings.Contains(text, "stay") {
		t.Fatalf("exit %d\n%s", status, text)
	}
	flat, err := os.ReadFile(dir + "/flat.yaml")
	if err != nil || strings.Contains(string(flat), "baseConfigs") {
		t.Fatalf("%v\n%s", err, flat)
	}
	where := "/etc /boot /srv /root /home"
	if os.Getenv("FULL") != "" {
		where = "/"
	}
	for _, name := range []string{"top", "flat"} {
		out := dir + "/" + name + ".raw"
		status, text := run(t, "--build-dir", dir+"/build", "--image-file", base(t, "debian12-efi"), "--config-file", dir+"/"+name+".yaml", "--output-image-file", out, "--output-image-format", "raw", "--seed", "s")
		if status != 0 {
			t.Fatalf("%s: exit %d\n%s", name, status, text)
		}
		if got := readFile(t, out, "/srv/trace"); got != "a\nb\ntop\n" {
			t.Errorf("%s: the scripts left %q", name, got)
		}
		sh(t, dir, fmt.Sprintf("mkdir tree-%s; debugfs -R 'rdump %s tree-%s' '%s?offset=%d' 2>/dev/null; rm '%s'", name, where, name, out, rootOffset(t, out), out))
	}
	if text := sh(t, dir, "test -s tree-top/etc/passwd; diff -r --no-dereference -x history.json tree-top tree-flat || true"); text != "" {
		t.Errorf("the trees differ:\n%s", text)
	}
}
