package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/lmittmann/tint"
)

// Levels beyond slog's own, for the names that the command line takes.
const (
	LevelTrace = slog.LevelDebug - 4
	LevelFatal = slog.LevelError + 4
	LevelPanic = slog.LevelError + 8
)

// levels is every level from the most to the least severe, by the names on the command line.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"panic", LevelPanic},
	{"fatal", LevelFatal},
	{"error", slog.LevelError},
	{"warn", slog.LevelWarn},
	{"info", slog.LevelInfo},
	{"debug", slog.LevelDebug},
	{"trace", LevelTrace},
}

// ParseLevel returns the level of that name.
func ParseLevel(name string) (slog.Level, error) {
	var names []string
	for _, l := range levels {
		if l.name == name {
			return l.level, nil
		}
		names = append(names, l.name)
	}
	return 0, fmt.Errorf("unknown log level %q: allowed are %s", name, strings.Join(names, ", "))
}

// levelName is the name of the nearest level that is not more severe.
func levelName(level slog.Level) string {
	for _, l := range levels {
		if level >= l.level {
			return l.name
		}
	}
	return levels[len(levels)-1].name
}

// newHandler writes records of a level and above as text or json lines, the form in which --log-file
// is written and in which lines go to what is not a terminal.
func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevel}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

func nameLevel(groups []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey {
		a.Value = slog.StringValue(levelName(level))
	}
	return a
}

// newScreenHandler writes records for people: short times, and colours where they are wanted.
func newScreenHandler(w io.Writer, color bool, level slog.Level) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{
		Level: level, NoColor: !color, TimeFormat: "15:04:05",
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			level, ok := a.Value.Any().(slog.Level)
			if !ok || len(groups) > 0 || a.Key != slog.LevelKey || level >= slog.LevelDebug && level <= slog.LevelError {
				return a
			}
			return slog.String(slog.LevelKey, strings.ToUpper(levelName(level))[:3])
		},
	})
}

// fanOut is a slog.Handler that hands each record to all of its handlers that want it.
type fanOut []slog.Handler

// Enabled tells whether any of the handlers wants the level.
func (f fanOut) Enabled(ctx context.Context, l slog.Level) bool {
	for _, h := range f {
		if h.Enabled(ctx, l) {
			return true
		}
	}
	return false
}

// Handle hands the record on.
func (f fanOut) Handle(ctx context.Context, r slog.Record) (err error) {
	for _, h := range f {
		if h.Enabled(ctx, r.Level) {
			err = errors.Join(err, h.Handle(ctx, r.Clone()))
		}
	}
	return err
}

// WithAttrs returns a handler that adds attributes to every record.
func (f fanOut) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup returns a handler that puts later attributes into a group.
func (f fanOut) WithGroup(name string) slog.Handler {
	return f.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f fanOut) each(with func(slog.Handler) slog.Handler) slog.Handler {
	next := make(fanOut, len(f))
	for i, h := range f {
		next[i] = with(h)
	}
	return next
}

// eventHandler is a slog.Handler that turns records into events of kind message.
type eventHandler struct {
	level slog.Level
	emit  func(Event)
	attrs []slog.Attr
	group string // prefix of keys
}

// Enabled tells whether the level is severe enough.
func (h *eventHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle emits the record as an event; the names of groups become prefixes of keys.
func (h *eventHandler) Handle(_ context.Context, r slog.Record) error {
	e := Event{Time: r.Time, Kind: Message, Level: levelName(r.Level), Text: r.Message}
	add := func(key string, v slog.Value) {
		if e.Attrs == nil {
			e.Attrs = map[string]any{}
		}
		e.Attrs[key] = redactAny(v.Resolve().Any())
	}
	for _, a := range h.attrs {
		add(a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool {
		add(h.group+a.Key, a.Value)
		return true
	})
	h.emit(e)
	return nil
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		next.attrs = append(next.attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return &next
}

// WithGroup returns a handler that prefixes later keys.
func (h *eventHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.group += name + "."
	return &next
}
