package step

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
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
	"MakeUKIs":    "writes on FAT, which has no such flags",
	"PrepareLive": "works on a copy",
	"Relabel":     "changes labels, and lifts the flags for that",
	"RunScript":   "is the user's own, and may take the flags away itself",
}

// TestEveryStepNamesWhatItReplaces reads the code: a step that changes the image says which files it replaces, so that one
// that is immutable is found when planning.
func TestEveryStepNamesWhatItReplaces(t *testing.T) {
	t.Parallel()
	methods := map[string][]string{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		dir := filepath.ToSlash(filepath.Dir(file))
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || dir != "../step" && !strings.HasPrefix(dir, "../feature") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			if name, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				methods[name.Name] = append(methods[name.Name], f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
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
