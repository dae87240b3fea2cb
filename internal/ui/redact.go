package ui

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"imagecustomizer/internal/printable"
)

// mask stands where a secret was.
const mask = "***"

var secrets struct {
	sync.RWMutex
	list     []string
	replacer *strings.Replacer
}

// shortest is the length of a secret worth masking: a shorter one is part of too many other words.
const shortest = 6

// Redact registers secrets: from now on mask is printed and logged in their place, by this process.
func Redact(texts ...string) {
	secrets.Lock()
	defer secrets.Unlock()
	for _, s := range texts {
		for _, form := range []string{s, inner(strconv.Quote(s))} {
			if len(s) >= shortest && !slices.Contains(secrets.list, form) {
				secrets.list = append(secrets.list, form)
			}
		}
	}
	// Longest first: a secret may begin with another one.
	slices.SortFunc(secrets.list, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, s := range secrets.list {
		pairs = append(pairs, s, mask)
	}
	secrets.replacer = strings.NewReplacer(pairs...)
}

// inner is a quoted string without its quotes.
func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// Redacted returns the text with every registered secret masked, plain or as Go and JSON quote it.
func Redacted(text string) string {
	secrets.RLock()
	defer secrets.RUnlock()
	if secrets.replacer == nil {
		return text
	}
	return secrets.replacer.Replace(text)
}

// redactAny masks secrets in a value of a log record. What is not a number, a truth value or a time
// becomes text, since secrets may be anywhere inside it.
func redactAny(v any) any {
	switch v := v.(type) {
	case nil, bool, int, int64, uint64, float64:
		return v
	case string:
		return Redacted(v)
	case error:
		return Redacted(v.Error())
	}
	return Redacted(fmt.Sprint(v))
}

// cleaner is a slog.Handler that masks secrets and control characters in every record. Of attributes
// the handlers themselves quote control characters.
type cleaner struct{ next slog.Handler }

// Enabled is what the next handler says.
func (h cleaner) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle hands on a masked copy of the record.
func (h cleaner) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, printable.Text(Redacted(r.Message)), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(redactAttr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

// WithAttrs masks the attributes too.
func (h cleaner) WithAttrs(attrs []slog.Attr) slog.Handler {
	return cleaner{h.next.WithAttrs(redactAttrs(attrs))}
}

// WithGroup is what the next handler does.
func (h cleaner) WithGroup(name string) slog.Handler { return cleaner{h.next.WithGroup(name)} }

func redactAttrs(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redactAttr(a)
	}
	return clean
}

func redactAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(redactAttrs(v.Group())...)}
	case slog.KindString, slog.KindAny:
		return slog.Any(a.Key, redactAny(v.Any()))
	}
	return slog.Attr{Key: a.Key, Value: v}
}
