package step

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Check finds everything that keeps the user from being as the config says.
func (s ChangeUser) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if !m.Root.Exists(passwdFile) {
		return []plan.Problem{{Path: s.Path, Text: "the image has no /etc/passwd, and so no users", Hint: "install the package that brings it in the same run", Later: true}}
	}
	a, exists := lookupUser(m.Root, string(s.User.Name))
	home := homeOf(s, m, a, exists)
	problems = append(problems, s.checkNumber(m, a, exists)...)
	if h := string(s.User.HomeDirectory); exists && h != "" && path.Clean(h) != path.Clean(a.home) {
		problems = append(problems, s.problem("homeDirectory", "remove homeDirectory", "user %s exists in the image with home %s, the config asks for %s", s.User.Name, a.home, h))
	}
	if file := notFolder(m, home); file != "" {
		problems = append(problems, s.problem("homeDirectory", "choose another homeDirectory", "the home of user %s cannot be %s: %s is no folder in the image", s.User.Name, home, file))
	}
	problems = append(problems, missingGroup(m, string(s.User.PrimaryGroup), s.Path+".primaryGroup", s.Groups)...)
	for i, g := range s.User.SecondaryGroups {
		problems = append(problems, missingGroup(m, string(g), fmt.Sprintf("%s.secondaryGroups[%d]", s.Path, i), s.Groups)...)
	}
	return append(problems, s.checkShell(m)...)
}

func (s ChangeUser) problem(key, hint, format string, args ...any) plan.Problem {
	return plan.Problem{Path: s.Path + "." + key, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// homeOf is the user's home folder, where it is known and looked at.
func homeOf(s ChangeUser, m *machine.Machine, a account, exists bool) string {
	switch {
	case exists && len(s.User.SSHPublicKeys)+len(s.User.SSHPublicKeyPaths) == 0:
		return ""
	case exists:
		return a.home
	case s.User.HomeDirectory != "":
		return string(s.User.HomeDirectory)
	}
	home := userDefaults(m.Root)["HOME"]
	if home == "" {
		home = "/home"
	}
	return path.Join(home, string(s.User.Name))
}

// notFolder is the first part of a path that is there and no folder, or "".
func notFolder(m *machine.Machine, name string) string {
	if name == "" {
		return ""
	}
	if !strings.HasPrefix(name, "/") {
		return fmt.Sprintf("%q", name)
	}
	at := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		at += "/" + part
		if !m.Root.IsDir(at) {
			if _, err := m.Root.Lstat(at); err == nil {
				return at
			}
			return ""
		}
	}
	return ""
}

func (s ChangeUser) checkNumber(m *machine.Machine, a account, exists bool) []plan.Problem {
	switch {
	case s.User.UID == nil || exists && s.User.LenientUID:
	case exists && *s.User.UID != a.uid:
		return []plan.Problem{s.problem("uid", "remove uid, or use the image's number", "user %s exists in the image with number %d, the config asks for %d", s.User.Name, a.uid, *s.User.UID)}
	case !exists:
		if other := ownerOf(m.Root, passwdFile, *s.User.UID); other != "" {
			return []plan.Problem{s.problem("uid", "remove uid, or use a number that is free", "the number %d of user %s is that of user %s in the image", *s.User.UID, s.User.Name, other)}
		}
	}
	return nil
}

// checkShell looks for the program that is started at login.
func (s ChangeUser) checkShell(m *machine.Machine) []plan.Problem {
	shell := string(s.User.StartupCommand)
	if shell == "" || s.Files.Has(path.Clean(shell)) {
		return nil
	}
	p := plan.Problem{Path: s.Path + ".startupCommand", Text: "the image has no program " + shell, Later: true}
	if fi, err := m.Root.Stat(shell); err == nil {
		if fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return nil
		}
		p.Text = shell + " is no program in the image, and nobody could log in with it"
	}
	shells := shellsThere(m)
	p.Hint = config.DidYouMean(shell, shells, "install its package in the same run; the image has "+strings.Join(shells, ", "))
	for _, there := range shells {
		if path.Base(there) == path.Base(shell) {
			p.Hint = fmt.Sprintf("did you mean %q?", there)
		}
	}
	return []plan.Problem{p}
}

// shellsThere are the shells of shells(5), and what is used to forbid logins, that the image has.
func shellsThere(m *machine.Machine) (list []string) {
	text, _ := m.Root.ReadFile("/etc/shells")
	for _, shell := range append(strings.Fields(string(text)), "/bin/sh", "/bin/bash", "/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false") {
		if strings.HasPrefix(shell, "/") && m.Root.Exists(shell) && !slices.Contains(list, shell) {
			list = append(list, shell)
		}
	}
	return list
}
