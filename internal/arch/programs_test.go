package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// unconfined are the packages that start a program without the fence of hostcmd, and why.
var unconfined = map[string]string{
	"internal/sandbox": "programs of the image are fenced in by the helper that becomes them",
	"internal/vm":      "QEMU needs KVM and sockets for its guest, and has a filter of its own (-sandbox on)",
}

// starters are the packages that start programs past hostcmd, all of them this program itself.
var starters = map[string]string{
	"internal/hostcmd": "starts all others",
	"internal/confine": "its tests",
	"internal/sandbox": "the init and the worker",
	"internal/cow":     "the server of a working disk in memory",
}

// outsideFence says what of a file starts programs without a fence, by what it takes.
func outsideFence(f file) (found []string) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, _ := n.X.(*ast.Ident)
			switch {
			case n.Sel.Name == "Unconfined":
				found = append(found, "Unconfined")
			case x != nil && slices.Contains([]string{"os.StartProcess", "syscall.ForkExec", "syscall.StartProcess", "syscall.Exec", "unix.Exec"}, x.Name+"."+n.Sel.Name):
				found = append(found, n.Sel.Name)
			}
		case *ast.KeyValueExpr:
			if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Unconfined" {
				found = append(found, "Unconfined")
			}
		}
		return true
	})
	return found
}

// TestProgramsRunInAFence: hostile files are parsed by programs that can do little, whatever they are made to do.
func TestProgramsRunInAFence(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "test") || f.pkg == "internal/hostcmd" {
			continue
		}
		for _, what := range outsideFence(f) {
			allowed := starters
			if what == "Unconfined" {
				allowed = unconfined
			}
			if used[f.pkg] = true; allowed[f.pkg] == "" {
				t.Errorf("%s uses %s: a program of the host runs in the fence of hostcmd; the exceptions stand here, with reasons", f.path, what)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(unconfined)) {
		if !used[pkg] {
			t.Errorf("%s needs no exception any more", pkg)
		}
	}
}

func TestProgramOutsideTheFenceIsFound(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`hostcmd.Unconfined("because", "sh")`, `&hostcmd.Cmd{Path: "sh", Unconfined: "because"}`, `c.Unconfined`, `os.StartProcess`, `unix.Exec`,
	} {
		if len(outsideFence(parsed(t, "package x; var a = "+text))) == 0 {
			t.Errorf("%s passes", text)
		}
	}
	if found := outsideFence(parsed(t, `package x; var a = hostcmd.New("sh")`)); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

func parsed(t *testing.T, text string) file {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file{path: "x.go", pkg: "x", syntax: syntax}
}
