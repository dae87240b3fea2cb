package scripts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// maxScript bounds a script, in bytes.
const maxScript = 64 << 20

// shells are programs that take a script for /bin/sh, more or less.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"}

// scriptText reports a text that its interpreter would not run as it is meant, be it of a file or of the config.
// An interpreter that is not named is /bin/sh.
func scriptText(text, what, interpreter string, at *config.At) {
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case strings.HasPrefix(text, "\x7fELF"):
		at.Errorf("%s is a program, not a script", what).Hint("write a script that starts it: scripts see the config's folder at %s", ConfigMount)
		return
	case strings.TrimSpace(text) == "":
		at.Errorf("%s is empty", what).Hint("remove it, or write the script")
		return
	case strings.HasPrefix(text, "\ufeff"):
		at.Errorf("%s begins with a byte order mark, which no interpreter skips", what).Hint("save it without")
		return
	case strings.HasSuffix(first, "\r"):
		at.Errorf("%s has the line ends of Windows, which would be part of its commands", what).Hint("save it with line ends of Unix (dos2unix)")
		return
	}
	named := path.Base(shebang(text))
	if interpreter != "" || named == "." || slices.Contains([]string{"sh", "dash", "ash"}, named) {
		return
	}
	e := at.Warnf
	if !slices.Contains(shells, named) {
		e = at.Errorf
	}
	e("%s says that %s runs it, but /bin/sh does", what, shebang(text)).Hint("add \"interpreter: %s\"", shebang(text))
}

// shebang is the program that the first line of a script names, or "".
func shebang(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	line, ok := strings.CutPrefix(first, "#!")
	f := strings.Fields(line)
	if !ok || len(f) == 0 {
		return ""
	}
	if path.Base(f[0]) == "env" && len(f) > 1 { // the image has its programs in one of the usual folders
		name := f[len(f)-1]
		for _, word := range f[1:] {
			if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
				name = word
				break
			}
		}
		return "/usr/bin/" + path.Base(name)
	}
	return f[0]
}

// CheckStarted checks a script that the shell starts by its name, as in 2023: it must be executable, and its
// first line says what runs it.
func CheckStarted(p config.Path, at *config.At) {
	text, ok := ScriptFile(p, at)
	if !ok {
		return
	}
	if !hostfs.IsExecutable(p.Resolved) {
		at.Errorf("%s is not executable", p.Text).Hint("chmod +x %s", p.Text)
	}
	if !strings.HasPrefix(text, "\x7fELF") {
		scriptText(text, p.Text, "named by its first line", at)
	}
}

// interpreters are the programs that must be in the image for the script: what runs it and, where the shell
// is to start a file, what its first line names.
func (s RunScript) interpreters() []string {
	if s.Script.ShellLine == "" {
		return []string{s.Script.Interpreter}
	}
	list := []string{"/bin/sh"}
	if text, err := hostfs.ReadSmall(s.Script.Path.Resolved, maxScript); err == nil {
		if named := shebang(string(text)); named != "" && named != "/bin/sh" {
			list = append(list, named)
		}
	}
	return list
}

// missing is the problem of an interpreter that the image lacks.
func (s RunScript) missing(m *machine.Machine, program string) []plan.Problem {
	if m.Root.Exists(program) || s.Files.Has(program) || !strings.HasPrefix(program, "/") || m.Has(path.Base(program)) && s.Script.ShellLine != "" {
		return nil
	}
	p := plan.Problem{
		Path: fmt.Sprintf("scripts.%s[%d].interpreter", s.Phase, s.Index), Later: true,
		Text: "the image has no interpreter " + program, Hint: "install its package in the same run",
	}
	if m.Facts.PackageManager == "" {
		p.Hint = config.DidYouMean(program, accounts.Shells(m), "write the script for /bin/sh")
	}
	for _, dir := range []string{"/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/usr/local/bin/"} {
		if there := dir + path.Base(program); m.Root.Exists(there) {
			p.Hint = fmt.Sprintf("did you mean %q?", there)
			break
		}
	}
	return []plan.Problem{p}
}
