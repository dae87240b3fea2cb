package users

import (
	"context"
	"fmt"
	"path"
	"strings"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Check finds everything that keeps the user from being as the config says.
func (s ChangeUser) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if !m.Root.Exists(accounts.PasswdFile) {
		return []plan.Problem{{Path: s.Path, Text: "the image has no /etc/passwd, and so no users", Hint: "install the package that brings it in the same run", Later: true}}
	}
	a, exists := accounts.Lookup(m.Root, string(s.User.Name))
	home := homeOf(s, m, a, exists)
	problems = append(problems, s.checkNumber(m, a, exists)...)
	if h := string(s.User.HomeDirectory); exists && h != "" && path.Clean(h) != path.Clean(a.Home) {
		problems = append(problems, s.problem("homeDirectory", "remove homeDirectory", "user %s exists in the image with home %s, the config asks for %s", s.User.Name, a.Home, h))
	}
	if file := feature.NotDirectory(m, home); file != "" {
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
func homeOf(s ChangeUser, m *machine.Machine, a accounts.Account, exists bool) string {
	switch {
	case exists && len(s.User.SSHPublicKeys)+len(s.User.SSHPublicKeyPaths) == 0:
		return ""
	case exists:
		return a.Home
	case s.User.HomeDirectory != "":
		return string(s.User.HomeDirectory)
	}
	home := accounts.UserDefaults(m.Root)["HOME"]
	if home == "" {
		home = "/home"
	}
	return path.Join(home, string(s.User.Name))
}

func (s ChangeUser) checkNumber(m *machine.Machine, a accounts.Account, exists bool) []plan.Problem {
	switch {
	case s.User.UID == nil || exists && s.User.LenientUID:
	case exists && *s.User.UID != a.UID:
		return []plan.Problem{s.problem("uid", "remove uid, or use the image's number", "user %s exists in the image with number %d, the config asks for %d", s.User.Name, a.UID, *s.User.UID)}
	case !exists:
		if other := accounts.OwnerOf(m.Root, accounts.PasswdFile, *s.User.UID); other != "" {
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
	shells := accounts.Shells(m)
	p.Hint = config.DidYouMean(shell, shells, "install its package in the same run; the image has "+strings.Join(shells, ", "))
	for _, there := range shells {
		if path.Base(there) == path.Base(shell) {
			p.Hint = fmt.Sprintf("did you mean %q?", there)
		}
	}
	return []plan.Problem{p}
}

// Replaces lists the account files that the user is entered in, and that of the keys.
func (s ChangeUser) Replaces(m *machine.Machine) (list []plan.Replaced) {
	a, there := accounts.Lookup(m.Root, string(s.User.Name))
	var files []string
	switch u := s.User; {
	case !there:
		files = []string{accounts.PasswdFile, accounts.GroupFile, accounts.ShadowFile, accounts.GshadowFile, "/etc/subuid", "/etc/subgid"}
	case u.StartupCommand != "" || u.PrimaryGroup != "":
		files = append(files, accounts.PasswdFile)
	}
	if len(s.User.SecondaryGroups) > 0 {
		files = append(files, accounts.GroupFile, accounts.GshadowFile)
	}
	if s.User.Password != nil || s.User.PasswordExpiresDays != nil {
		files = append(files, accounts.ShadowFile)
	}
	list = feature.Replaced(s.Path, feature.Present(m, files...)...)
	if there && len(s.User.SSHPublicKeys)+len(s.User.SSHPublicKeyPaths) > 0 {
		list = append(list, feature.Replaced(s.Path, path.Join(a.Home, ".ssh/authorized_keys"))...)
	}
	return list
}
