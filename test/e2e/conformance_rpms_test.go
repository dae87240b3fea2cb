//go:build root

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// conformancePackages are the packages of the conformance suite, by version: what the spec file says of each
// besides its name. Each has one file, /usr/share/NAME.
var conformancePackages = map[string]map[string]string{
	"1.0": {
		"c-plain": "", "c-eq": "", "c-nevr": "", "c-arch": "", "c-globa": "", "c-globb": "", "c-prio": "", "c-one": "", "c-two": "", "c-member": "",
		"c-old": "", "c-held": "", "c-pinned": "", "c-stays": "", "c-epoch": "Epoch: 1", "c-server": "Provides: c-web = 2.4", "c-dep": "Requires: does-not-exist",
		"c-script": "%post\ntouch /usr/share/c-script.ran", "c-trigged": "",
		"c-pre": "%pre\necho no; exit 1", "c-post": "%post\nexit 3", "c-posttrans": "%posttrans\nexit 4", "c-pretrans": "%pretrans -p <lua>\nerror(\"refused\")",
		"c-preun": "%preun\nexit 5", "c-postun": "%postun\nexit 6", "c-lua": "%post -p <lua>\nerror(\"oops\")", "c-interpreter": "%post -p /no/such\nx",
		"c-trigger": "%triggerin -- c-trigged\nexit 7", "c-filetrigger": "%transfiletriggerin -- /usr/share\nexit 8", "c-killed": "%post\nkill -9 $$",
		"c-big": "",
	},
	"2.0": {
		"c-plain": "", "c-eq": "", "c-nevr": "", "c-prio": "", "c-pinned": "", "c-stays": "", "c-new": "Obsoletes: c-old < 2",
		"c-held": "Requires: does-not-exist", "c-post2": "%post\nexit 3",
	},
}

const comps = `<?xml version="1.0"?><comps><group><id>c-group</id><name>Conformance</name><default>false</default><uservisible>true</uservisible>
<packagelist><packagereq type="mandatory">c-member</packagereq></packagelist></group></comps>`

// buildConformanceRPMs makes a folder DIR/VERSION of packages for each version, and DIR/all, a repository with
// a group.
func buildConformanceRPMs(t *testing.T, dir string) {
	t.Helper()
	for version, packages := range conformancePackages {
		spec := filepath.Join(t.TempDir(), "c.spec")
		if err := os.WriteFile(spec, []byte(conformanceSpec(version, packages)), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("rpmbuild", "-bb", "--quiet", "-D", "_topdir "+t.TempDir(), "-D", "_rpmdir "+filepath.Join(dir, version), "-D", "_binary_payload w1.zstdio",
			"-D", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "-D", "__os_install_post %{nil}", spec)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "comps.xml"), []byte(comps), 0o644); err != nil {
		t.Fatal(err)
	}
	sh(t, dir, `for r in 2.0 3.0 42; do ln -s repo-1.0 release-$r; done
mkdir all; cp 1.0/*.rpm 2.0/*.rpm all; createrepo_c -q --no-database -g "$PWD/comps.xml" all
for v in 1.0 2.0; do mkdir repo-$v; cp $v/*.rpm repo-$v; createrepo_c -q --no-database repo-$v; done`)
}

func conformanceSpec(version string, packages map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Name: c-all\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%%description\nx\n%%install\nmkdir -p %%{buildroot}/usr/share\n", version)
	names := slices.Sorted(maps.Keys(packages))
	for _, n := range names {
		if n == "c-big" {
			fmt.Fprintf(&b, "truncate -s 2500M %%{buildroot}/usr/share/%s\n", n)
		} else {
			fmt.Fprintf(&b, "echo %s >%%{buildroot}/usr/share/%s\n", version, n)
		}
	}
	for _, n := range names {
		tags, script := packages[n], ""
		if strings.HasPrefix(tags, "%") {
			head, body, _ := strings.Cut(tags, "\n")
			kind, rest, _ := strings.Cut(head, " ")
			tags, script = "", fmt.Sprintf("%s -n %s %s\n%s\n", kind, n, rest, body)
		}
		fmt.Fprintf(&b, "%%package -n %s\nSummary: x\nAutoReqProv: no\n%s\n%%description -n %s\nx\n%s%%files -n %s\n/usr/share/%s\n", n, tags, n, script, n, n)
	}
	return b.String()
}
