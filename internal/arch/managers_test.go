package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// managerWords are the names of package managers and of their programs. A string of that content decides by the
// manager, or starts it: only internal/pkgmgr does, behind its interfaces.
var managerWords = []string{
	"apt", "apt-get", "aptitude", "dpkg", "dpkg-query", "dnf", "dnf5", "microdnf", "tdnf", "yum", "rpm", "rpmdb", "zypper", "pacman", "apk",
}

// managerPaths begin the paths of their databases.
var managerPaths = []string{"/var/lib/dpkg", "/var/lib/rpm", "/usr/lib/sysimage/rpm"}

func isManagers(text string) bool {
	return slices.Contains(managerWords, text) || slices.ContainsFunc(managerPaths, func(p string) bool { return strings.HasPrefix(text, p) })
}

// namesManager lists the strings of a file that name a package manager.
func namesManager(f *ast.File) (found []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && isManagers(text) {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

// TestOnlyPkgmgrKnowsManagers reads the code of every package above and beside internal/pkgmgr.
func TestOnlyPkgmgrKnowsManagers(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "internal/pkgmgr") || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		for _, name := range namesManager(f.syntax) {
			t.Errorf("%s: %q names a package manager: ask internal/pkgmgr/probe what differs", f.path, name)
		}
	}
}

func TestManagerThatIsNamedIsFound(t *testing.T) {
	t.Parallel()
	for _, code := range []string{`var x = f == "apt"`, "var x = New(`rpm`, \"-q\")", `var m = map[string]int{"tdnf": 1}`, `func g(s string) { switch s { case "dnf5": } }`, `var p = "/var/lib/dpkg/info"`} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+code, 0)
		if err != nil || len(namesManager(file)) != 1 {
			t.Errorf("%s passes (%v)", code, err)
		}
	}
}
