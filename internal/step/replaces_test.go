package step

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
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

// stepMethods reads the code: the steps, and of each the methods with what those return that do nothing else.
func stepMethods(t *testing.T) map[string]map[string]string {
	t.Helper()
	methods := map[string]map[string]string{}
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
				if methods[name.Name] == nil {
					methods[name.Name] = map[string]string{}
				}
				methods[name.Name][f.Name.Name] = returned(f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(methods, func(_ string, has map[string]string) bool { _, is := has["Run"]; return !is })
	if len(methods) < 25 {
		t.Fatalf("found %d steps only", len(methods))
	}
	return methods
}

// returned is what a function of one line returns, if it begins with a constant.
func returned(f *ast.FuncDecl) (value string) {
	if len(f.Body.List) != 1 {
		return ""
	}
	ast.Inspect(f.Body.List[0], func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			value = cmp.Or(value, strings.Trim(n.Value, `"`))
		case *ast.SelectorExpr:
			value = cmp.Or(value, n.Sel.Name)
		}
		return true
	})
	return value
}

// TestStages: the name of a step that is not of the system's stage says of which it is.
func TestStages(t *testing.T) {
	t.Parallel()
	prefixes := map[string]string{
		"check.": "Check", "live.check": "Check", "storage.": "Disk", "verity.forget": "Disk", "bootloader": "Boot", "initramfs": "Boot", "kernel-arguments": "Boot",
		"verity.prepare": "Boot", "live.prepare": "Output",
	}
	for step, methods := range stepMethods(t) {
		want := ""
		for prefix, stage := range prefixes {
			if strings.HasPrefix(methods["Name"], prefix) {
				want = stage
			}
		}
		if methods["Name"] != "" && methods["Stage"] != want {
			t.Errorf("%s (%s) is of the stage %q, want %q", step, methods["Name"], methods["Stage"], want)
		}
	}
}

// TestEveryStepNamesWhatItReplaces: a step that changes the image says which files it replaces, so that one that is
// immutable is found when planning.
func TestEveryStepNamesWhatItReplaces(t *testing.T) {
	t.Parallel()
	for name, has := range stepMethods(t) {
		if _, is := has["Replaces"]; is == (replaceNothing[name] != "") {
			t.Errorf("%s: Replaces is there: %v; the reason why it need not be: %q", name, is, replaceNothing[name])
		}
	}
}
