package ui

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// keptLogs is how many logs of runs are kept, the new one included.
const keptLogs = 10

// logMode lets the user alone read a log: it names files and users of the image.
const logMode = 0o600

// openLogFile opens the log that was asked for, or else one of those that are kept. Where the latter cannot be
// made, as with a read-only home directory, the run goes without.
func (u *UI) openLogFile(o Options) (err error) {
	if o.LogFile != "" {
		u.logPath = o.LogFile
		u.file, err = os.OpenFile(o.LogFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, logMode)
		return err
	}
	if o.LogDir == "" {
		return nil
	}
	u.kept = true
	name := filepath.Join(o.LogDir, fmt.Sprintf("%s-%d.log", time.Now().UTC().Format("20060102T150405Z"), os.Getpid()))
	if os.MkdirAll(o.LogDir, 0o700) != nil {
		return nil
	}
	removeOldLogs(o.LogDir)
	if u.file, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, logMode); err != nil {
		u.file = nil
		return nil
	}
	u.logPath = name
	return nil
}

// removeOldLogs makes room for one more. The names sort by time.
func removeOldLogs(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "*Z-*.log"))
	slices.Sort(names)
	for len(names) >= keptLogs {
		_ = os.Remove(names[0])
		names = names[1:]
	}
}

// LogDir is where logs of runs are kept: in the user's directory for state (XDG Base Directory Specification), or
// nowhere, where the user has none.
func LogDir(env func(string) string) string {
	state := env("XDG_STATE_HOME")
	if home := env("HOME"); !filepath.IsAbs(state) && filepath.IsAbs(home) {
		state = filepath.Join(home, ".local", "state")
	}
	if !filepath.IsAbs(state) {
		return ""
	}
	return filepath.Join(state, "imagecustomizer", "logs")
}

// lastLine is a slog.Handler that shows what programs print, of which hostcmd logs every line, with the running
// step.
type lastLine struct{ u *UI }

// Enabled wants the level that output of programs is logged with.
func (h lastLine) Enabled(_ context.Context, l slog.Level) bool { return l == slog.LevelDebug }

// Handle shows the record, if it is a line of a program.
func (h lastLine) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "source" || a.Value.String() != "command" {
			return true
		}
		h.u.mu.Lock()
		defer h.u.mu.Unlock()
		h.u.view.said(strings.TrimSpace(r.Message))
		return false
	})
	return nil
}

// WithAttrs changes nothing: output of programs has no further attributes.
func (h lastLine) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup changes nothing.
func (h lastLine) WithGroup(string) slog.Handler { return h }
