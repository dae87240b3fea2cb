package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// The registry is one for the whole process: the secrets of these tests occur in no other test.

func TestRedacted(t *testing.T) {
	t.Parallel()
	Redact("hunter2", "hunter2-longer", "", "hing", `qu"otes`)
	for in, want := range map[string]string{
		"password hunter2!":    "password ***!",
		"x hunter2-longer y":   "x *** y",
		"hunter2hunter2":       "******",
		`plain qu"otes`:        "plain ***",
		`quoted "a=qu\"otes"`:  `quoted "a=***"`,
		"nothing secret":       "nothing secret",
		"hunter and 2 are not": "hunter and 2 are not",
	} {
		if got := Redacted(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

type stringer struct{ s string }

func (s stringer) String() string { return "my " + s.s }

func (s stringer) LogValue() slog.Value { return slog.StringValue("logged " + s.s) }

// Every way by which text reaches the screen or a file is tried with one secret.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	const secret = "correct horse \"battery\""
	for _, progress := range []string{"plain", "json"} {
		for _, format := range []string{"text", "json"} {
			t.Run(progress+" "+format, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				file := t.TempDir() + "/log"
				u := open(t, Options{Progress: progress, LogFormat: format, LogFile: file, LogLevel: "trace", Out: &out})
				tell(u, "%s") // not secret yet: what follows must find something to hide
				if n := strings.Count(read(t, file), "%s"); n < 10 {
					t.Fatalf("only %d texts reach the log file", n)
				}
				Redact(secret)
				tell(u, secret)
				if err := u.Close(); err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{"screen": out.String(), "log file": read(t, file)} {
					if strings.Contains(text, "battery") || strings.Contains(text, "horse") {
						t.Errorf("the %s shows it:\n%s", name, text)
					}
					if !strings.Contains(text, mask) {
						t.Errorf("the %s has no mask:\n%s", name, text)
					}
				}
			})
		}
	}
}

// tell says text in every way there is.
func tell(u *UI, text string) {
	log := u.Logger()
	log.Error(text, "string", text, "error", errors.New(text), "any", []string{text}, "stringer", stringer{text},
		slog.Group("group", "inner", text), "struct", struct{ S string }{text})
	log.With("with", text).WithGroup("g").Debug("message", "grouped", text)
	u.Handle(Event{Kind: Start, Step: "s", Title: text})
	u.Handle(Event{Kind: Message, Level: "warn", Text: text, Attrs: map[string]any{"a": text, "n": 1.5, "l": []any{text}}})
	u.Handle(Event{Kind: Done, Step: "s", Title: text, Text: text, Elapsed: time.Second})
	u.Note("note %s", text)
	u.Failure(fmt.Errorf("wrapped: %w", errors.New(text)), "s", text)
}

func TestNumbersStayNumbers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{Progress: "json", Out: &out})
	u.Logger().Info("x", "int", 7, "bool", true, "float", 2.5, "duration", time.Second)
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if e.Attrs["int"] != 7.0 || e.Attrs["bool"] != true || e.Attrs["float"] != 2.5 || e.Attrs["duration"] != "1s" {
		t.Errorf("attributes %v", e.Attrs)
	}
}
