package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/secret"
	"imagecustomizer/internal/ui"
)

// commandTime is how long a command has that prints a secret: a person may have to touch a key.
const commandTime = 5 * time.Minute

// readSecrets reads the secrets that a config uses. All that is wrong with them is reported, each at its declaration.
func readSecrets(ctx context.Context, r *compose.Result, dir string, allowCommands bool, screen *ui.UI) (list []secret.Secret, err error) {
	r.Report.Forget() // what is shown already
	for _, s := range r.Secrets {
		text, err := readSecret(ctx, s, dir, allowCommands)
		if err == nil {
			err = secret.Check(text, s.AllowShort)
		}
		if err != nil {
			s.At.Errorf("the secret %s: %v", s.Name, err)
			continue
		}
		if doubt := secret.Doubtful(text); doubt != "" {
			s.At.Warnf("the secret %s: %s", s.Name, doubt)
		}
		ui.Redact(secret.Forms(text)...)
		list = append(list, secret.Secret{Name: s.Name, Value: text, MayBeIn: s.MayBeInImage})
	}
	return list, reported(r.Report, screen)
}

// readSecret reads one secret. No error has any of it.
func readSecret(ctx context.Context, s compose.Secret, dir string, allowCommands bool) (string, error) {
	switch {
	case s.Text != nil:
		return secret.WithoutLineBreak(*s.Text), nil
	case s.From.Env != "" || s.From.File.Text != "":
		return secretFrom(s.From.Env, s.From.File)
	case !allowCommands:
		return "", fmt.Errorf("it is printed by a command of this host (%s), which --allow-host-commands has to allow", strings.Join(s.From.Command, " "))
	}
	return runForSecret(ctx, s.From.Command, dir)
}

// secretFrom reads a secret from a variable of the environment, or else from a file.
func secretFrom(env string, file config.Path) (string, error) {
	if env != "" {
		text, there := os.LookupEnv(env)
		if !there {
			return "", fmt.Errorf("the environment has no variable %s", env)
		}
		return text, nil
	}
	text, err := hostfs.ReadSmall(file.Resolved, 2*secret.Longest)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", file.Text, err)
	}
	return secret.WithoutLineBreak(string(text)), nil
}

// runForSecret runs a command that prints a secret.
func runForSecret(ctx context.Context, argv []string, dir string) (string, error) {
	slog.Info("a command of this host is run for a secret", "command", argv[0])
	c, err := hostcmd.ForCaller(argv[0], argv[1:]...)
	if err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeoutCause(ctx, commandTime, fmt.Errorf("it took more than %v", commandTime))
	defer stop()
	var out, said limited
	c.Dir, c.Stdout, c.Stderr = dir, &out, &said
	err = c.Run(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case out.over:
		return "", fmt.Errorf("%s printed more than %d bytes", argv[0], secret.Longest)
	case err != nil:
		var e *hostcmd.Error
		if text := strings.TrimSpace(said.text); errors.As(err, &e) && text != "" {
			return "", fmt.Errorf("%s: %w: %s", argv[0], e.Err, text)
		}
		return "", err
	}
	return secret.WithoutLineBreak(out.text), nil
}

// limited keeps what a program prints, up to a bound.
type limited struct {
	text string
	over bool
}

// Write keeps the text.
func (l *limited) Write(p []byte) (int, error) {
	if l.over = l.over || len(l.text)+len(p) > 2*secret.Longest; !l.over {
		l.text += string(p)
	}
	return len(p), nil
}

// withSecrets is the config with the values of its secrets in it. A run that only plans has none of them.
func (o CustomizeOptions) withSecrets(ctx context.Context, r *compose.Result, files *compose.Files, screen *ui.UI) (*compose.Result, []secret.Secret, error) {
	if len(r.Secrets) == 0 || o.DryRun {
		return r, nil, nil
	}
	list, err := readSecrets(ctx, r, filepath.Dir(abs(o.ConfigFile)), o.AllowHostCommands, screen)
	if err != nil {
		return nil, nil, err
	}
	sealed, with := *files, r.Options
	sealed.Sealed, with.Secrets = true, map[string]string{}
	for _, s := range list {
		with.Secrets[s.Name] = s.Value
	}
	again, err := compose.Load(o.ConfigFile, &sealed, with)
	if err != nil {
		return nil, nil, err
	}
	if again.Report.Failed() {
		return nil, nil, reported(again.Report, screen)
	}
	for _, s := range r.Secrets { // no program that runs from now on has it
		if s.From.Env != "" {
			err = errors.Join(err, os.Unsetenv(s.From.Env))
		}
	}
	return again, list, err
}
