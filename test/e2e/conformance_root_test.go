//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conformance is what the cases of one package manager share.
type conformance struct {
	manager  string // tdnf-3.5.8, tdnf-3.5.2, dnf5, dnf4
	image    string
	packages string // as buildConformanceRPMs makes them
	dir      string
}

// TestConformance has one suite that tdnf in two versions, dnf5 and dnf 4 pass through the program. The table
// of what each does by itself is what makes the cases: the program makes them one.
func TestConformance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buildConformanceRPMs(t, dir)
	for _, manager := range []string{"tdnf-3.5.8", "tdnf-3.5.2", "dnf5", "dnf4"} {
		if manager == "dnf5" && os.Getenv("FULL") == "" {
			continue // its image takes minutes to build
		}
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			c := &conformance{manager: manager, packages: dir, dir: t.TempDir()}
			c.image = c.base(t)
			installed := filepath.Join(c.dir, "installed.raw")
			t.Run("every way to name a package", func(t *testing.T) { c.install(t, installed) })
			t.Run("remove and update", func(t *testing.T) { c.change(t, installed) })
			few := os.Getenv("FULL") == ""
			for i, f := range failures {
				if (!few || i < sampled) && (f.only == nil || f.only(c)) {
					t.Run(f.name, func(t *testing.T) { c.fails(t, f, installed) })
				}
			}
			for i, f := range choices {
				if !few || i == 0 {
					t.Run(f.name, func(t *testing.T) { c.chooses(t, f) })
				}
			}
			if !few {
				t.Run("a damaged download is mended", func(t *testing.T) { c.repeats(t, "damaged", "good works") })
				t.Run("certificates of the build host", c.secure)
				t.Run("the disk grows as packages need it", c.grows)
				t.Run("a download is kept", func(t *testing.T) { c.repeats(t, "good works", "missing works") })
			}
		})
	}
}

// base is the image that has the manager.
func (c *conformance) base(t *testing.T) string {
	t.Helper()
	switch c.manager {
	case "tdnf-3.5.8":
		return base(t, "azl3")
	case "tdnf-3.5.2":
		return base(t, "mariner2")
	case "dnf5":
		return base(t, "dnf5")
	}
	image := filepath.Join(c.dir, "dnf4.raw")
	customize(t, base(t, "azl3"), "os: {packages: {install: [dnf]}}\nscripts:\n  postCustomization:\n  - {content: rm /usr/bin/tdnf, environmentVariables: {PATH: /usr/bin}}\n",
		image, "raw", "--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos")
	return image
}

func (c *conformance) isTDNF() bool { return strings.HasPrefix(c.manager, "tdnf") }

// repo writes a .repo file beside the packages and returns its path.
func (c *conformance) repo(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.repo")
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(text, "DIR", c.packages)), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// wished is one way to name what is to be installed, removed or updated, and what the image has then.
type wished struct{ wish, gives string }

// installs are all in one transaction.
var installs = []wished{
	{"c-plain", "c-plain=2.0"}, {"c-eq=1.0", "c-eq=1.0"}, {"c-nevr-1.0", "c-nevr=1.0"}, {"c-arch.noarch", "c-arch=1.0"},
	{"c-glob*", "c-globa=1.0 c-globb=1.0"}, {"c-web", "c-server=1.0"}, {"/usr/share/c-one", "c-one=1.0"}, {"c-epoch=1:1.0-1", "c-epoch=1.0"},
	{"c-script", "c-script=1.0"}, {"c-pinned-1.0-1.noarch", "c-pinned=1.0"}, {"c-postun", "c-postun=1.0"}, {"c-preun", "c-preun=1.0"}, {"c-two", "c-two=1.0"},
	{"c-old=1.0", "c-old=1.0"}, {"c-held=1.0", "c-held=1.0"}, {"c-stays=1.0", "c-stays=1.0"},
}

var removals = []string{"c-glob*", "c-web", "c-arch.noarch", "/usr/share/c-one", "c-epoch-1:1.0", "c-two=1.0", "c-scrip?"}

const listAll = "rpm -qa --qf '%{NAME}=%{VERSION}\\n' | grep ^c- | sort | tr '\\n' ' '"

// config asks for package work, and then compares what is installed.
func packageConfig(sections map[string][]string, want string) string {
	var b strings.Builder
	b.WriteString("os:\n  packages:\n")
	for _, kind := range []string{"remove", "install", "update"} {
		if len(sections[kind]) > 0 {
			b.WriteString("    " + kind + ": ['" + strings.Join(sections[kind], "', '") + "']\n")
		}
	}
	b.WriteString("scripts:\n  postCustomization:\n  - environmentVariables: {PATH: '/usr/bin:/usr/sbin:/bin'}\n    content: |\n" +
		"      got=$(" + listAll + ")\n      [ \"$got\" = \"" + want + " \" ] || { echo \"packages now: $got\"; exit 1; }\n")
	return b.String()
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// install uses every way to name a package, from a .repo file with everything that can be in one.
func (c *conformance) install(t *testing.T, out string) {
	var wishes []string
	want := ""
	for _, w := range installs {
		wishes = append(wishes, w.wish)
		want += " " + w.gives
	}
	text := "\ufeff[main]\ngpgcheck=1\n[all]\nname : All\nbaseurl: file://DIR/all\ngpgcheck=0\nskip_if_unavailable=True\n"
	if !c.isTDNF() {
		wishes, want = append(wishes, "@c-group"), want+" c-member=1.0"
	}
	customize(t, c.image, packageConfig(map[string][]string{"install": wishes}, sorted(want)), out, "raw",
		"--rpm-source", c.repo(t, text), "--disable-base-image-rpm-repos")
	for _, path := range []string{"/etc/rpm/macros.zz-imagecustomizer", "/run/imagecustomizer"} {
		if exists(t, out, path) {
			t.Errorf("%s stayed in the image", path)
		}
	}
	if !exists(t, out, "/usr/share/c-script.ran") {
		t.Error("a script of a package has not run")
	}
}

// change removes without any repository, and updates, where each way is known.
func (c *conformance) change(t *testing.T, image string) {
	out := filepath.Join(c.dir, "changed.raw")
	want := "c-eq=1.0 c-held=1.0 c-nevr=1.0 c-old=1.0 c-pinned=1.0 c-plain=2.0 c-postun=1.0 c-preun=1.0 c-stays=1.0"
	if !c.isTDNF() {
		want += " c-member=1.0"
	}
	customize(t, image, packageConfig(map[string][]string{"remove": removals}, sorted(want)), out, "raw") // the image's own repositories are down
	updated := strings.NewReplacer("c-eq=1.0", "c-eq=2.0", "c-nevr=1.0", "c-nevr=2.0", "c-pinned=1.0", "c-pinned=2.0", "c-old=1.0", "c-new=2.0").Replace(want)
	customize(t, out, packageConfig(map[string][]string{"update": {"c-eq", "c-nev*", "c-pinned=2.0", "c-old"}}, sorted(updated)), out+".2", "raw",
		"--rpm-source", filepath.Join(c.packages, "2.0"), "--disable-base-image-rpm-repos")
}

// failure is a run that has to fail, and where it would be found when planning, with nothing changed.
type failure struct {
	name     string
	sections map[string][]string
	repo     string // text of a .repo file; empty for the folder DIR/1.0
	want     string // a pattern that the output has to match
	planned  bool   // a dry run finds it too
	only     func(*conformance) bool
	base     bool // with the image's own repositories
}

func notTDNF(c *conformance) bool { return !c.isTDNF() }

// fails runs one of them.
func (c *conformance) fails(t *testing.T, f failure, installed string) {
	source := filepath.Join(c.packages, "1.0")
	if f.repo != "" {
		source = c.repo(t, serve(t, f.repo, c.packages))
	}
	args := []string{"--rpm-source", source, "--build-dir", t.TempDir(), "--image-file", installed, "--config-file", writeConfig(t, packageConfig(f.sections, "-")),
		"--output", "raw=" + filepath.Join(c.dir, "never.raw"), "--package-cache-dir", filepath.Join(c.dir, "cache")}
	if !f.base {
		args = append(args, "--disable-base-image-rpm-repos")
	}
	if f.planned {
		args = append(args, "--dry-run")
	}
	status, text := run(t, args...)
	if status == 0 || !regexp.MustCompile(f.want).MatchString(text) {
		t.Errorf("exit %d, want %s in\n%s", status, f.want, text)
	}
	if strings.Contains(text, "packages now: ") {
		t.Errorf("the packages were taken for done\n%s", text)
	}
}
