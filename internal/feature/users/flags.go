package users

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"imagecustomizer/internal/feature"
)

// Flags add users and change them.
func (Users) Flags() []feature.Flag {
	return []feature.Flag{
		{Name: "user", Value: "NAME", Help: "Add a user, unless there is one.", Says: func(v string) ([]feature.Said, error) { return sayUser(v, nil) }},
		{
			Name: "ssh-key", Value: "USER=FILE", Help: "Let whoever has one of the public keys in a file log in as a user. A user that is not there is added.",
			Says: func(v string) ([]feature.Said, error) {
				user, file, err := feature.Pair(v, "=", "USER=FILE, such as alice=id_ed25519.pub")
				return feature.Or(err)(sayUser(user, map[string]any{"sshPublicKeyPaths": []any{file}}))
			},
		},
		{Name: "ssh-inject", Value: "USER:SELECTOR", Help: "The same, as virt-customize has it: USER:file:FILE, or USER:string:KEY.", Says: sayInjected},
		{
			Name: "password", Value: "USER:SELECTOR", Secret: true,
			Help: "Password of a user: USER:file:FILE, USER:locked, or USER:password:TEXT, which the process list shows. A user that is not there is added.",
			Says: func(v string) ([]feature.Said, error) {
				user, selector, err := feature.Pair(v, ":", "USER:file:FILE, USER:locked or USER:password:TEXT")
				return feature.Or(err)(sayPassword(user, selector))
			},
		},
		{
			Name: "root-password", Value: "SELECTOR", Secret: true, Help: "Password of root: file:FILE, locked, or password:TEXT, which the process list shows.",
			Says: func(v string) ([]feature.Said, error) { return sayPassword("root", v) },
		},
	}
}

// sayUser is a user with these keys of its own.
func sayUser(name string, keys map[string]any) ([]feature.Said, error) {
	user := map[string]any{"name": name}
	for k, v := range keys {
		user[k] = v
	}
	return feature.Say("os.users", []any{user})
}

// sayInjected is a key as virt-customize takes it. That program looks for one in the home directory of who runs it,
// where none is named.
func sayInjected(value string) ([]feature.Said, error) {
	user, selector, _ := strings.Cut(value, ":")
	kind, rest, _ := strings.Cut(selector, ":")
	switch {
	case user == "":
		return nil, errors.New("want USER:file:FILE or USER:string:KEY")
	case kind == "file" && rest != "":
		return sayUser(user, map[string]any{"sshPublicKeyPaths": []any{rest}})
	case kind == "string" && rest != "":
		return sayUser(user, map[string]any{"sshPublicKeys": []any{rest}})
	case selector == "":
		return nil, fmt.Errorf("which key? Name its file: %s:file:FILE.pub", user)
	}
	return nil, fmt.Errorf("want %s:file:FILE or %s:string:KEY", user, user)
}

// sayPassword is a password as virt-customize takes it. A password that was drawn at random, and printed, would be in
// every log; that program's disabled is a password that nobody has, which locked is too.
func sayPassword(user, selector string) ([]feature.Said, error) {
	kind, rest, _ := strings.Cut(selector, ":")
	password := map[string]any{}
	switch {
	case kind == "file" && rest != "":
		password["type"], password["value"] = "plain-text-file", rest
	case kind == "password" && rest != "":
		slog.Warn("a password on the command line can be read by everybody in the process list, and stays in the shell's history: file:FILE hides it", "user", user)
		password["type"], password["value"] = "plain-text", rest
	case selector == "locked", selector == "disabled", selector == "locked:disabled":
		password["type"] = "locked"
	case kind == "locked":
		return nil, errors.New("a password that is given and locked at once can be had in a config only, as a hash behind \"!\": give it, or lock it")
	case selector == "random":
		return nil, errors.New("a random password would be in every log: make one, such as with openssl rand -base64 18, and name its file: file:FILE")
	default:
		return nil, errors.New("want file:FILE, locked or password:TEXT")
	}
	return sayUser(user, map[string]any{"password": password})
}
