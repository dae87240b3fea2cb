package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Whatever lies in an image's tree is reached through internal/rootfs, whose paths the kernel resolves inside
// that tree. A path given to package os, or to a system call, is resolved on the host: a link of the image leads
// it anywhere. So functions that take a path are allowed only where no image is seen: in what docs/decisions/0012
// calls host code, listed here with the reason.

// pathPackages are those whose functions with a string parameter take a path, but for those listed.
var pathPackages = map[string][]string{
	"os": {
		"Getenv", "Setenv", "Unsetenv", "LookupEnv", "ExpandEnv", "Expand", "IsPathSeparator", "NewFile", "NewSyscallError", "FindProcess", "UserHomeDir",
	},
	"io/ioutil":                       nil,
	"imagecustomizer/internal/hostfs": nil,
	"path/filepath": {
		"Base", "Dir", "Ext", "Join", "Split", "SplitList", "Clean", "FromSlash", "ToSlash", "IsAbs", "IsLocal", "Localize", "Match", "Rel", "VolumeName", "HasPrefix",
		"Abs", // only looks up the working folder
	},
	"syscall": {"BytePtrFromString", "ByteSliceFromString", "Getenv", "Setenv", "Unsetenv", "StringBytePtr", "StringByteSlice", "Sethostname"},
	"golang.org/x/sys/unix": {
		"BytePtrFromString", "ByteSliceFromString", "Fgetxattr", "Fsetxattr", "Fremovexattr", "MemfdCreate", "SignalNum", "Fsconfig", "FsconfigSetFlag", "FsconfigSetString", "FsconfigSetBinary",
		"Getenv", "Setenv", "Unsetenv", "NewIfreq", "AddKey", "KeyctlSearch", "KeyctlJoinSessionKeyring", "RequestKey", "ErrnoName", "SetsockoptString", "SetsockoptTCPMD5Sig",
		"Delete", "InitModule", "FinitModule", "DeleteModule", "IoctlGetEthtoolDrvinfo", "NewSockaddr", "BindToDevice",
	},
	"github.com/pkg/xattr": {"FGet", "FSet", "FList", "FRemove"},
}

// rawCalls are the system calls that may be made by number: none takes a path, or, as the second, is given one.
var rawCalls = []string{
	"SYS_IOCTL", "SYS_UTIMENSAT", "SYS_SECCOMP", "SYS_CAPSET", "SYS_LANDLOCK_CREATE_RULESET", "SYS_LANDLOCK_ADD_RULE", "SYS_LANDLOCK_RESTRICT_SELF",
}

// openers are functions of ours that take a path of the host.
var openers = map[string][]string{"imagecustomizer/internal/rootfs": {"New", "With"}}

// taker is one use of a function that takes a path.
type taker struct {
	file, function string // where; the function with its receiver's type
	name           string // what is called, such as os.Open
}

// pathFunctions lists the functions of a package, from its source, that take a path.
func pathFunctions(t *testing.T, pkg string, harmless []string) []string {
	t.Helper()
	// The go command is asked, since a test built with -trimpath does not know where Go is.
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	matches, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil || len(matches) == 0 {
		t.Fatalf("%s has no source in %s: %v", pkg, dir, err)
	}
	var found []string
	for _, m := range matches {
		if strings.HasSuffix(m, "_test.go") {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), m, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && f.Name.IsExported() && takesString(f.Type) && !slices.Contains(harmless, f.Name.Name) {
				found = append(found, f.Name.Name)
			}
		}
	}
	return found
}

func takesString(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		typ := p.Type
		if more, ok := typ.(*ast.Ellipsis); ok {
			typ = more.Elt
		}
		ident, ok := typ.(*ast.Ident)
		return ok && ident.Name == "string"
	})
}

// forbidden maps the import path of a package to its functions that take a path.
func forbidden(t *testing.T) map[string][]string {
	t.Helper()
	list := map[string][]string{}
	for pkg, harmless := range pathPackages {
		if pkg == "github.com/pkg/xattr" { // no source here unless something needs it
			list[pkg] = []string{"Get", "Set", "List", "Remove", "LGet", "LSet", "LList", "LRemove"}
			continue
		}
		list[pkg] = pathFunctions(t, pkg, harmless)
	}
	for pkg, names := range openers {
		list[pkg] = names
	}
	return list
}

// takers lists where a file uses what is forbidden. A function that is only named, to be called elsewhere, is
// used too.
func takers(f file, list map[string][]string) (found []taker) {
	names := map[string]string{} // package by the name it has in this file
	for _, i := range f.syntax.Imports {
		pkg, _ := strconv.Unquote(i.Path.Value)
		name := pkg[strings.LastIndex(pkg, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = pkg
		if _, listed := list[pkg]; listed && name == "." {
			found = append(found, taker{f.path, "import", pkg})
		}
	}
	for _, d := range f.syntax.Decls {
		where := functionName(d)
		ast.Inspect(d, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && takesPath(names[x.Name], s.Sel.Name, list) {
					found = append(found, taker{f.path, where, x.Name + "." + s.Sel.Name})
				}
			}
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok {
					found = append(found, callTakers(f.path, where, s.Sel.Name, c.Args)...)
				}
			}
			return true
		})
	}
	return found
}

// callTakers finds calls of a method that returns a path, (*rootfs.Root).Dir, and system calls by number.
func callTakers(file, where, name string, args []ast.Expr) (found []taker) {
	switch {
	case name == "Dir" && len(args) == 0:
		return []taker{{file, where, "Dir()"}}
	case !strings.HasPrefix(name, "Syscall") && !strings.HasPrefix(name, "RawSyscall") || len(args) == 0:
		return nil
	}
	if nr, ok := args[0].(*ast.SelectorExpr); ok && slices.Contains(rawCalls, nr.Sel.Name) {
		return nil
	}
	return []taker{{file, where, name}}
}

func takesPath(pkg, name string, list map[string][]string) bool {
	return slices.Contains(list[pkg], name)
}

// functionName is the function that a declaration is, with its receiver's type.
func functionName(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok {
		return "declaration"
	}
	if f.Recv == nil {
		return f.Name.Name
	}
	typ := f.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if x, ok := typ.(*ast.Ident); ok {
		return x.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

func TestPathsOfImagesGoThroughRootfs(t *testing.T) {
	t.Parallel()
	list, used := forbidden(t), map[string]bool{}
	for _, f := range sources(t) {
		if f.isTest() || f.pkg == "internal/arch" || strings.HasPrefix(f.pkg, "test") {
			continue
		}
		for _, u := range takers(f, list) {
			key, ok := exceptionFor(u)
			if !ok {
				t.Errorf("%s: %s uses %s, which takes a path of the host: what lies in an image is reached through internal/rootfs", u.file, u.function, u.name)
			}
			used[key] = true
		}
	}
	for key := range hostCode {
		if !used[key] {
			t.Errorf("%s is an exception that nothing needs any more: delete it", key)
		}
	}
}

// exceptionFor finds the entry of hostCode that allows a use: for its package, file, or function.
func exceptionFor(u taker) (key string, ok bool) {
	for _, key := range []string{u.file + ":" + u.function, u.file, filepath.Dir(u.file)} {
		if _, ok := hostCode[key]; ok {
			return key, true
		}
	}
	return "", false
}

// TestPlantedPathIsFound plants what must not be into every package that is no exception as a whole.
func TestPlantedPathIsFound(t *testing.T) {
	t.Parallel()
	list := forbidden(t)
	planted := map[string]string{
		`import "os"; func planted(root string) { os.ReadFile(root + "/etc/passwd") }`:                                 "os.ReadFile",
		`import host "os"; func planted(root string) { f := host.Create; f(root) }`:                                    "host.Create",
		`import . "os"; func planted(root string) { ReadFile(root) }`:                                                  "os",
		`import "io/ioutil"; func planted(root string) { ioutil.ReadDir(root) }`:                                       "ioutil.ReadDir",
		`import "path/filepath"; func planted(root string) { filepath.Glob(root) }`:                                    "filepath.Glob",
		`import "golang.org/x/sys/unix"; func planted(root string) { unix.Lsetxattr(root, "a", nil, 0) }`:              "unix.Lsetxattr",
		`import "golang.org/x/sys/unix"; func planted(root string) { unix.Mount(root, root, "", 0, "") }`:              "unix.Mount",
		`import "golang.org/x/sys/unix"; func planted(root string) { unix.Openat2(0, root, nil) }`:                     "unix.Openat2",
		`import "golang.org/x/sys/unix"; func planted() { unix.Syscall(unix.SYS_OPEN, 0, 0, 0) }`:                      "Syscall",
		`import "syscall"; func planted(nr uintptr) { syscall.RawSyscall6(nr, 0, 0, 0, 0, 0, 0) }`:                     "RawSyscall6",
		`import "syscall"; func planted(root string) { syscall.Chroot(root) }`:                                         "syscall.Chroot",
		`import "imagecustomizer/internal/hostfs"; func planted(root string) { hostfs.ReadFile(root) }`:                "hostfs.ReadFile",
		`import "imagecustomizer/internal/rootfs"; func planted(root string) { rootfs.New(root) }`:                     "rootfs.New",
		`import "imagecustomizer/internal/rootfs"; func planted(r *rootfs.Root) string { return r.Dir() }`:             "Dir()",
		`import "os"; type x int; func (x) planted(root string) { go func() { os.OpenRoot(root); os.DirFS(root) }() }`: "os.OpenRoot",
		`import "os"; var planted = os.Readlink`:                                                                       "os.Readlink",
	}
	packages := map[string]bool{}
	for _, f := range sources(t) {
		if _, whole := hostCode[f.pkg]; !whole && strings.HasPrefix(f.pkg, "internal/") && f.pkg != "internal/arch" {
			packages[f.pkg] = true
		}
	}
	if len(packages) < 15 {
		t.Errorf("only %d packages are looked at", len(packages))
	}
	for pkg := range packages {
		for source, want := range planted {
			syntax, err := parser.ParseFile(token.NewFileSet(), "planted.go", "package planted\n"+source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			found := takers(file{path: pkg + "/planted.go", pkg: pkg, syntax: syntax}, list)
			if len(found) == 0 || found[0].name != want && !strings.HasSuffix(want, found[0].name) {
				t.Errorf("%s: %s is not found: %v", pkg, want, found)
				continue
			}
			if key, ok := exceptionFor(found[0]); ok {
				t.Errorf("%s: %s is allowed by %s", pkg, want, key)
			}
		}
	}
}
