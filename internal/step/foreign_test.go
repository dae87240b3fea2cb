package step

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/feature/selinux"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

func foreignFacts() *machine.Facts {
	return &machine.Facts{
		Distro: &distro.Distro{Name: "Debian"}, PackageManager: "apt", Arch: "aarch64", Foreign: true,
		Boot: boot.Scheme{Kind: boot.Mkconfig, Config: "/boot/grub/grub.cfg"},
	}
}

// TestForeignImages: what takes programs of the image is refused, all at once, and the rest is done.
func TestForeignImages(t *testing.T) {
	t.Parallel()
	_, problems := Plan(featuretest.Parse[Config](t, secretConfig), foreignFacts(), feature.Inputs{})
	var steps []string
	for _, p := range problems {
		if !strings.Contains(p.Text, "programs are made for aarch64") {
			t.Errorf("%s: %s", p.Step, p.Text)
		}
		steps = append(steps, p.Step)
	}
	if want := []string{"packages", "services", "scripts.postCustomization", "scripts.finalizeCustomization"}; !slices.Equal(steps, want) {
		t.Errorf("refused: %q", steps)
	}
	const possible = `
os:
  hostname: h
  users: [{name: a}]
  groups: [{name: g}]
  additionalFiles: [{content: x, destination: /f}]
  kernelCommandLine: {extraCommandLine: [quiet]}
  modules: [{name: m, loadMode: always}]
`
	if _, problems := Plan(featuretest.Parse[Config](t, possible), foreignFacts(), feature.Inputs{}); len(problems) > 0 {
		t.Error(problems)
	}
	f := foreignFacts()
	f.SELinux = "enforcing"
	p, problems := Plan(featuretest.Parse[Config](t, "os: {hostname: h}\n"), f, feature.Inputs{})
	if len(problems) > 0 || !slices.ContainsFunc(p, func(s plan.Step) bool { return s.Name() == "selinux.relabel-at-boot" }) {
		t.Errorf("SELinux: %v, %v", p, problems)
	}
}

// TestForeignArguments: the menu is edited itself, since nothing can generate it, and the defaults too.
func TestForeignArguments(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"usr/sbin/grub-mkconfig": "GRUB_CMDLINE_LINUX", "etc/default/grub": "GRUB_CMDLINE_LINUX=\"old\"\n",
		"boot/grub/grub.cfg": "menuentry 'x' {\n\tlinux /vmlinuz root=UUID=1 console=tty0 old\n\tinitrd /initrd\n}\n",
	})
	m.Facts = foreignFacts()
	s := booting.AddKernelArgs{Args: []string{"console=ttyS0", "quiet"}, Scheme: m.Facts.Boot}
	featuretest.MustRun(t, m, s, s)
	if got := featuretest.Read(t, m, "/boot/grub/grub.cfg"); !strings.Contains(got, "console=tty0 old console=ttyS0 quiet\n") {
		t.Error(got)
	}
	if got := featuretest.Read(t, m, "/etc/default/grub"); !strings.Contains(got, "console=ttyS0 quiet") {
		t.Error(got)
	}
}

// TestStepsThatRunPrograms reads the code: whoever starts programs of the image is known to the rule for
// foreign images, or does without where none can run.
func TestStepsThatRunPrograms(t *testing.T) {
	t.Parallel()
	handled := map[string]string{
		"users.go": "files are edited where the image has no useradd that runs", "groups.go": "likewise",
		"settle.go": "around packages, scripts and rebuilds only", "kernelargs.go": "TestForeignArguments",
		"overlays.go": "an overlay has the initramfs rebuilt, or its label is an error of the run",
		"locale.go":   "locale", "keymap.go": "keymap", "sudo.go": "sudo", "sshd.go": "sshd", "ask.go": "cloud-init",
		"services.go": "services", "scripts.go": "scripts.", "selinux.go": selinux.RelabelStep, "bootreset.go": "bootloader",
	}
	var files []string
	for _, dirs := range []string{"*.go", "../feature/*.go", "../feature/*/*.go"} {
		list, err := filepath.Glob(dirs)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) < 60 {
		t.Fatal(files)
	}
	runs := regexp.MustCompile(`\b[ml]\.(Run|Output)\(ctx`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(f, "_test.go") && runs.Match(text) && handled[filepath.Base(f)] == "" {
			t.Errorf("%s starts programs of the image: what does it do where these cannot run?", f)
		}
	}
}
