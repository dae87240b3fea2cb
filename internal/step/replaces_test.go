package step

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// replaceNothing are the steps that are not asked which files they replace, and why not.
var replaceNothing = map[string]string{
	"CheckAgain": "only looks", "CheckKernel": "only looks", "CheckLive": "only looks", "CheckTargets": "only looks", "WarnLowSpace": "only looks",
	"GrowDisk":    "changes partitions and filesystems, no file",
	"ExtendDisk":  "is a NewDisk",
	"OverrideDNS": "takes the flags away for a time", "RestoreDNS": "gives them back", "RefreshDNS": "asks OverrideDNS",
	"PrepareLive": "works on a copy",
	"Relabel":     "changes labels, and lifts the flags for that",
	"RunScript":   "is the user's own, and may take the flags away itself",
}

// TestEveryStepNamesWhatItReplaces reads the code: a step that changes the image says which files it replaces, so that one
// that is immutable is found when planning.
func TestEveryStepNamesWhatItReplaces(t *testing.T) {
	t.Parallel()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // build tags do not matter here
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string][]string{}
	for _, f := range packages["step"].Files {
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			if name, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				methods[name.Name] = append(methods[name.Name], f.Name.Name)
			}
		}
	}
	steps := 0
	for name, has := range methods {
		if !slices.Contains(has, "Run") {
			continue
		}
		steps++
		if is := slices.Contains(has, "Replaces"); is == (replaceNothing[name] != "") {
			t.Errorf("%s: Replaces is there: %v; the reason why it need not be: %q", name, is, replaceNothing[name])
		}
	}
	if steps < 25 {
		t.Errorf("found %d steps only", steps)
	}
}
