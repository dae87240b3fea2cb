package arch

import (
	"go/ast"
	"strings"
	"testing"
)

// unbounded are the files that read to an end that something else bounds.
var unbounded = map[string]string{
	"internal/sandbox/exec.go":  "a pipe from process 1 of the namespaces, which is ours",
	"internal/liveos/medium.go": "a section whose size was compared with what a text may have",
}

// readsAll says what of a file reads something into memory to its end, however far that is.
func readsAll(f file) (found []string) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch name := callee(call); name {
		case "io.ReadAll":
			if in, ok := call.Args[0].(*ast.CallExpr); !ok || callee(in) != "io.LimitReader" {
				found = append(found, name)
			}
		case "ReadString", "ReadBytes", "ReadFrom":
			found = append(found, name)
		}
		return true
	})
	return found
}

// callee is the name of what a call calls: PACKAGE.NAME for these packages, and the method's for others.
func callee(call *ast.CallExpr) string {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); ok && x.Name == "io" {
		return "io." + s.Sel.Name
	}
	return s.Sel.Name
}

// TestReadsAreBounded: a file of an image is read by rootfs.ReadFile, ReadAs or Kind.Read, which name the kind of
// the file and so its size, or as a stream; bufio.Scanner bounds lines itself.
func TestReadsAreBounded(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.isTest() || strings.HasPrefix(f.pkg, "test") || strings.HasPrefix(f.pkg, "cmd/") {
			continue
		}
		if found := readsAll(f); len(found) > 0 && unbounded[f.path] == "" {
			t.Errorf("%s reads all there is: %v; read a Kind (package rootfs), or a LimitReader", f.path, found)
		}
	}
}

func TestReadWithoutBoundsIsFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"io.ReadAll(f)": 1, "bufio.NewReader(f).ReadString(10)": 1, "b.ReadFrom(f)": 1, "io.ReadAll(io.LimitReader(f, 9))": 0, "r.ReadFile(f)": 0,
	} {
		if got := readsAll(parsed(t, "package x; var a = "+text)); len(got) != want {
			t.Errorf("%s: found %v", text, got)
		}
	}
}
