package cloud

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/seed"
)

// cloudTest is a config of the sections here.
type cloudTest struct {
	OS struct {
		CloudInit CloudInit `yaml:"cloudInit"`
	} `yaml:"os"`
}

// cloudStep is the step of a config, for a machine whose cloud-init does nothing.
func cloudStep(t *testing.T, yaml string) SetCloudInit {
	t.Helper()
	c := featuretest.Parse[cloudTest](t, "os: {cloudInit: "+yaml+"}")
	p, _ := c.OS.CloudInit.Plan(&feature.Given{Facts: featuretest.DebianFacts, Inputs: feature.Inputs{Seed: seed.New("x")}})
	return p[0].(SetCloudInit)
}

func TestCloudInitWritesWhatItReads(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"etc/cloud/cloud-init.disabled": "", "etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ Azure ]\n",
		"var/lib/cloud/seed/nocloud/vendor-data": "old", "var/lib/cloud/instances/a/x": "", "var/lib/cloud/data/instance-id": "old",
		"var/log/cloud-init-output.log": "", "var/log/other": "", "etc/netplan/50-cloud-init.yaml": "",
	})
	featuretest.Program(t, m, "cloud-init")
	s := cloudStep(t, `{mode: enable, clean: true, config: [{name: 95-site, content: "a: 1\n"}], seed: {userData: {content: "#!/bin/sh\n:\n"}, metaData: {content: "local-hostname: x\n"}}}`)
	featuretest.MustRun(t, m, s, s)
	for name, want := range map[string]string{
		cloudFile: "datasource_list: [NoCloud, None]\n", cloudDir + "/95-site.cfg": "a: 1\n", cloudSeed + "/user-data": "#!/bin/sh\n:\n",
		cloudSeed + "/meta-data": "instance-id: " + s.Instance + "\nlocal-hostname: x\n", "/var/log/other": "",
	} {
		if got := featuretest.Read(t, m, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{cloudDisabled, cloudSeed + "/vendor-data", "/var/lib/cloud/instances", "/var/lib/cloud/data", "/var/log/cloud-init-output.log", "/etc/netplan/50-cloud-init.yaml"} {
		if m.Root.Exists(name) {
			t.Errorf("%s is still there", name)
		}
	}
	if fi, err := m.Root.Stat(cloudSeed + "/user-data"); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("others can read the seed: %v %v", fi.Mode(), err)
	}
	own := cloudStep(t, `{seed: {userData: {content: "#!/bin/sh\n"}, metaData: {content: "instance-id: own\n"}}}`)
	featuretest.MustRun(t, m, own, cloudStep(t, "{mode: disable}"))
	if got := featuretest.Read(t, m, cloudSeed+"/meta-data"); got != "instance-id: own\n" || !m.Root.Exists(cloudDisabled) {
		t.Errorf("%q", got)
	}
}

// TestCloudInitSeedOnAMedium: the seed is not in the image then, nor is an older one, and NoCloud is looked for.
func TestCloudInitSeedOnAMedium(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"var/lib/cloud/seed/nocloud/user-data": "old", "etc/x": ""})
	featuretest.Program(t, m, "cloud-init")
	s := cloudStep(t, `{seed: {userData: {content: "#!/bin/sh\n"}}}`)
	s.Apart = true
	featuretest.MustRun(t, m, s)
	if m.Root.Exists(cloudSeed) || featuretest.Read(t, m, cloudFile) != "datasource_list: [NoCloud, None]\n" || !strings.Contains(s.String(), "write user-data to an ISO image") {
		t.Errorf("%s: the seed is there: %v", s, m.Root.Exists(cloudSeed))
	}
	texts, err := s.texts()
	if err != nil || texts["meta-data"] != "instance-id: "+s.Instance+"\n" || texts["user-data"] != "#!/bin/sh\n" {
		t.Errorf("%v %v", texts, err)
	}
}

// TestCloudInitIsRemoved from an image that has what a package manager left of it.
func TestCloudInitIsRemoved(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"etc/cloud/cloud.cfg": "", "var/lib/cloud/instances/a/x": "", "var/log/cloud-init.log": "", "var/log/other": "", "etc/netplan/50-cloud-init.yaml": "kept",
		"usr/lib/systemd/system/ssh.service": "[Service]\n",
	})
	featuretest.Program(t, m, "ssh-keygen")
	c := featuretest.Parse[cloudTest](t, "os: {cloudInit: {mode: remove}}")
	p, _ := c.OS.CloudInit.Plan(&feature.Given{Facts: featuretest.DebianFacts})
	featuretest.MustRun(t, m, p[0], p[0])
	for name, want := range map[string]bool{
		"/etc/cloud": false, "/var/lib/cloud": false, "/var/log/cloud-init.log": false, "/var/log/other": true, "/etc/netplan/50-cloud-init.yaml": true,
		"/etc/systemd/system/ssh-host-keys.service": true, // which cloud-init made at boot
	} {
		if m.Root.Exists(name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
}

func TestCloudInitOfTheImage(t *testing.T) {
	t.Parallel()
	none := "os.cloudInit: the image has no cloud-init (install cloud-init in the same run)\n"
	if got := featuretest.ProblemTexts(t, featuretest.Parse[cloudTest](t, "os: {cloudInit: {clean: true}}").OS.CloudInit, map[string]string{"etc/x": ""}); got != none {
		t.Errorf("%q, want %q", got, none)
	}
	m := featuretest.Tree(t, map[string]string{"usr/lib/python3.9/site-packages/cloudinit/sources/DataSourceAzure.py": "", "etc/cloud/cloud.cfg.d/zz.cfg": "datasource_list: [ Ec2 ]\n"})
	featuretest.Program(t, m, "cloud-init")
	var got string
	for _, p := range cloudStep(t, "{datasources: [Azure, Hetzner, None]}").Check(t.Context(), m) {
		got += p.Path + ": " + p.Text + "\n"
	}
	want := "os.cloudInit.datasources[1]: cloud-init of the image has no source Hetzner\nos.cloudInit.datasources: /etc/cloud/cloud.cfg.d/zz.cfg of the image is read later and has sources too, which would win\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestCloudInitThatDidNotCheck: what versions of it say when they have checked, and when not.
func TestCloudInitThatDidNotCheck(t *testing.T) {
	t.Parallel()
	failed := errors.New("exit status 1")
	for _, c := range []struct {
		out  string
		err  error
		why  string
		done bool
	}{
		{"Valid cloud-config: /dev/stdin\n", nil, "", true},
		{"Valid schema /dev/stdin\n", nil, "", true},
		{"Error:\nCloud config schema errors: users.0: {'name': 'bob', 'foo': 'bar'} is not valid\n", failed, "Cloud config schema errors: users.0: {'name': 'bob', 'foo': 'bar'} is not valid", true},
		{"Cloud config schema deprecations: \nError:\nCloud config schema errors: users.0: no\n", failed, "Cloud config schema errors: users.0: no", true},
		{"Cloud config schema errors: format-l2.c11: File /dev/stdin is not valid yaml.\n", failed, "Cloud config schema errors: format-l2.c11: File the text is not valid yaml.", true},
		{"Ignoring schema validation. jsonschema is not present\n", nil, "", false},
		{"", nil, "", false},
		{"cloud-init: error: unrecognized arguments: --schema-type network-config\n", failed, "", false},
		{"Skipping network-config schema validation. No network schema for version: 2\n", nil, "", false},
	} {
		if why, done := verdict(c.out, c.err); why != c.why || done != c.done {
			t.Errorf("%q: %q %v, want %q %v", c.out, why, done, c.why, c.done)
		}
	}
}

func TestCloudInitTextsAreChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[cloudTest](t, "cloudInit", map[string]string{
		`{seed: {userData: {content: "users:\n- bob\n"}}}`:                        `user-data, line 1 of the text: cloud-init does not know what it is`,
		`{seed: {userData: {content: "#cloud-config\na: 1\na: 2\n"}}}`:            "user-data, line 3 of the text",
		`{seed: {networkConfig: {content: "version: 2\nethernet: {}\n"}}}`:        `network-config, line 2 of the text: network-config of version 2 knows no key "ethernet"`,
		`{mode: remove, config: [{name: x, content: "a: 1"}]}`:                    "to be removed, and to be told what to do",
		`{seed: {userData: {}}}`:                                                  "nothing to do in this seed",
		`{seed: {userData: {path: x, content: "#!/bin/sh"}}}`:                     "one of path and content",
		`{seed: {metaData: {content: "a: 1\n"}}}`:                                 "nothing to do in this seed",
		`{mode: disable, seed: {userData: {content: "#!/bin/sh\n"}}}`:             "would not look at the seed: it is disabled",
		`{datasources: [Azure], seed: {userData: {content: "#!/bin/sh\n"}}}`:      "NoCloud is not among its sources",
		`{datasources: [nocloud]}`:                                                `did you mean "NoCloud"?`,
		`{config: [{name: ../x, content: "a: 1"}]}`:                               "is not the name of a file of settings",
		`{config: [{name: x, content: "a: 1"}, {name: x, content: "a: 1"}]}`:      "twice",
		`{config: [{name: x, content: "- a"}]}`:                                   "settings, line 1 of the text: it is no mapping",
		`{seed: {userData: {content: "#cloud-config\npassword: open-sesame\n"}}}`: "line 2 of the text, holds a password",
	})
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte("#cloud-config\nusers:\n\t- bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := featuretest.Reported[cloudTest]("/c.yaml", "os: {cloudInit: {seed: {userData: {path: "+file+"}}}}\n"); !strings.Contains(got, "line 3 of "+file) {
		t.Errorf("a tab in line 3:\n%s", got)
	}
}
