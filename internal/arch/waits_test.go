package arch

import (
	"go/ast"
	"strings"
	"testing"
)

// TestOnlyScriptsWaitForEver: a program of the image runs by Machine.Run, Output or Watch, which end one that gets nowhere.
// Only scripts of the config may wait for as long as they like.
func TestOnlyScriptsWaitForEver(t *testing.T) {
	t.Parallel()
	found := 0
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && callee(call) == "RunScript" {
				if found++; f.pkg != "internal/feature/scripts" && f.path != "internal/machine/run.go" {
					t.Errorf("%s runs a program of the image without a limit on waiting: use Run", f.path)
				}
			}
			return true
		})
	}
	if found != 2 {
		t.Errorf("%d calls of RunScript, want those of scripts and of Watch", found)
	}
}
