// Package arch holds the project's structure as a test: which package may import which, and the
// fences around programs, YAML and os.Exit.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers lists our packages from the top down. A package imports only from lower layers, or from
// its own where the layer says peers may.
var layers = []layer{
	{names: []string{"cmd/imagecustomizer", "cmd/docs"}},
	{names: []string{"internal/cli", "internal/docgen"}, peers: true},
	{names: []string{"internal/app"}},
	{names: []string{"internal/job"}},
	{names: []string{"internal/compose"}},
	{names: []string{"internal/legacy"}},
	{names: []string{"internal/step", "internal/engine"}},
	{names: []string{"internal/feature/cloud"}}, // to remove it takes packages, and what does its work then
	{names: []string{
		"internal/feature/generalize", "internal/feature/history", "internal/feature/live", "internal/feature/mounts",
		"internal/feature/packages", "internal/feature/scripts", "internal/feature/secureboot", "internal/feature/system", "internal/feature/users",
	}},
	{names: []string{"internal/feature/files", "internal/feature/selinux", "internal/feature/services", "internal/feature/storage"}},
	{names: []string{"internal/feature/booting", "internal/feature/featuretest"}},
	{names: []string{"internal/feature"}},
	{names: []string{"internal/plan", "internal/output", "internal/verify", "internal/accounts", "internal/boottest", "internal/artifact"}},
	{names: []string{"internal/initramfs", "internal/liveos"}, peers: true},
	{names: []string{"internal/pkgmgr/probe"}},
	{names: []string{"internal/pkgmgr/apt", "internal/pkgmgr/rpm"}},
	{names: []string{"internal/pkgmgr"}},
	{names: []string{"internal/machine", "internal/bootmedium"}},
	{names: []string{"internal/image", "internal/vm"}},
	{names: []string{"internal/diskformat"}},
	{names: []string{"internal/chain"}},
	{names: []string{"internal/disk", "internal/boot", "internal/verity"}},
	{names: []string{"internal/sandbox"}},
	{names: []string{"internal/signing", "internal/distro", "internal/uki", "internal/cloudinit", "internal/cow", "internal/kargs", "internal/kmod", "internal/config", "internal/ui", "internal/hostfs", "internal/filetree", "internal/identity"}},
	{names: []string{"internal/failure"}},
	{names: []string{"internal/rootfs", "internal/hostcmd", "internal/grub", "internal/efi", "internal/secret", "internal/seed", "internal/tempfile", "internal/printable"}},
	{names: []string{"internal/confine", "internal/extent"}},
}

type layer struct {
	names []string
	peers bool
}

const module = "imagecustomizer/"

// file is one parsed source file of the module.
type file struct {
	path    string // from the module's root
	pkg     string // folder, from the module's root
	syntax  *ast.File
	imports []string
}

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") || f.pkg == testHelp }

func sources(t *testing.T) []file {
	t.Helper()
	const root = "../.."
	var files []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		f := file{path: rel, pkg: filepath.Dir(rel), syntax: syntax}
		for _, i := range syntax.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			f.imports = append(f.imports, name)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d source files: the test looks in the wrong place", len(files))
	}
	return files
}

// violation says why one package must not import another, or "".
func violation(from, to string) string {
	a, b := level(from), level(to)
	switch {
	case a < 0:
		return from + " is in no layer: add it to the list"
	case b < 0:
		return to + " is in no layer: add it to the list"
	case a > b, a == b && !layers[a].peers:
		return from + " imports " + to + ", which is not below it"
	}
	return ""
}

func level(pkg string) int {
	for i, l := range layers {
		for _, n := range l.names {
			if n == pkg {
				return i
			}
		}
	}
	return -1
}

func TestImportsGoDownwards(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.isTest() || f.pkg == "internal/arch" || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		for _, i := range f.imports {
			if to, ours := strings.CutPrefix(i, module); ours {
				if v := violation(f.pkg, to); v != "" {
					t.Errorf("%s: %s", f.path, v)
				}
			}
		}
	}
}

func TestViolationIsFound(t *testing.T) {
	t.Parallel()
	if violation("internal/hostcmd", "internal/app") == "" || violation("internal/disk", "internal/boot") == "" {
		t.Error("an upward import and one between peers pass")
	}
	if v := violation("internal/app", "internal/step"); v != "" {
		t.Error(v)
	}
}

// fences maps an import to the only packages that may have it.
var fences = map[string][]string{
	"os/exec":            {"internal/hostcmd", "internal/sandbox", "internal/cow"},
	"go.yaml.in/yaml/v4": {"internal/config", "internal/cloudinit"},
	"os":                 nil,
}

func TestFences(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		for _, i := range f.imports {
			allowed, fenced := fences[i]
			if fenced && i != "os" && !contains(allowed, f.pkg) {
				t.Errorf("%s imports %s, which only %s may", f.path, i, strings.Join(allowed, " and "))
			}
			if i == "os" && isFeature(f.pkg) {
				t.Errorf("%s imports os: a step touches only what the machine hands it", f.path)
			}
			if i == module+testHelp {
				t.Errorf("%s imports %s, which is for tests", f.path, i)
			}
		}
	}
}

// testHelp is what tests of features have in common.
const testHelp = "internal/feature/featuretest"

// isFeature tells whether a package has features and their steps.
func isFeature(pkg string) bool {
	return pkg == "internal/step" || strings.HasPrefix(pkg, "internal/feature") && pkg != testHelp
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestExitOnlyInMain(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "cmd/") || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Exit" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" {
					t.Errorf("%s calls os.Exit", f.path)
				}
			}
			return true
		})
	}
}

func TestModuleRootIsWhereWeThink(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("../../go.mod"); err != nil {
		t.Fatal(err)
	}
}
