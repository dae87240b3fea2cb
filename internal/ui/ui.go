package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"imagecustomizer/internal/printable"
)

// Options say what is shown and where. Empty fields mean the default.
type Options struct {
	Progress  string    // auto (default): live lines on a terminal, else plain; plain; json: NDJSON events; none: no more than warnings and errors
	LogLevel  string    // least severity that is shown, default info
	LogFormat string    // text (default) or json
	LogFile   string    // file that gets the whole log, debug included, whatever LogLevel says: what one needs after a failure
	LogDir    string    // directory where the logs of the last runs are kept, for a run without LogFile; empty means none
	Color     string    // auto (default): on a terminal, unless NO_COLOR is set; always; never
	TimesFile string    // file that gets an event where a step begins and where it ends, as NDJSON
	Out       io.Writer // where all of it goes

	Env func(string) string // environment; nil means os.Getenv
}

// UI shows one run. Its methods may be called from several goroutines.
type UI struct {
	mu      sync.Mutex
	view    view
	color   bool
	json    bool
	quiet   bool
	kept    bool // the log is one of the last runs', which nobody asked for by name
	logPath string
	file    *os.File // LogFile; may be nil
	fileLog slog.Handler
	times   *os.File // TimesFile; may be nil
	logger  *slog.Logger
	sum     summary
	stop    chan struct{}
	stopped sync.WaitGroup
}

// view is one way to show events. Its methods are called one at a time.
type view interface {
	// event shows any event but a message.
	event(e Event)
	// said tells what a program of the running step printed last.
	said(line string)
	// text shows whole lines between the others.
	text(b []byte)
	// tick is called now and then, for what changes with time.
	tick(now time.Time)
	// interval is how often tick wants to be called.
	interval() time.Duration
}

// New starts showing a run. The caller makes Logger the default of package slog, and calls Close.
func New(o Options) (*UI, error) {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	level, err := ParseLevel(orDefault(o.LogLevel, "info"))
	if err != nil {
		return nil, err
	}
	if f := orDefault(o.LogFormat, "text"); f != "text" && f != "json" {
		return nil, fmt.Errorf("unknown log format %q: allowed are text, json", f)
	}
	u := &UI{stop: make(chan struct{})}
	if err := u.chooseView(o); err != nil {
		return nil, err
	}
	if err := u.openTimes(o.TimesFile); err != nil {
		return nil, err
	}
	if err := u.openLog(o, level); err != nil {
		return nil, err
	}
	u.stopped.Go(u.ticker)
	return u, nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (u *UI) chooseView(o Options) error {
	now := time.Now()
	switch mode := orDefault(o.Progress, "auto"); mode {
	case "json":
		u.json, u.view = true, jsonView{json.NewEncoder(o.Out)}
	case "none":
		u.quiet, u.color, u.view = true, o.Color == "always", quietView{o.Out}
	case "plain":
		u.color, u.view = o.Color == "always", &plainView{out: o.Out, start: now}
	case "auto":
		f, ok := o.Out.(*os.File)
		if !ok || !term.IsTerminal(int(f.Fd())) || o.Env("TERM") == "dumb" {
			u.color = o.Color == "always"
			u.view = &plainView{out: o.Out, start: now}
			return nil
		}
		u.color = o.Color == "always" || o.Color != "never" && o.Env("NO_COLOR") == ""
		u.view = &liveView{out: f, size: sizeOf(f), style: styleOf(o.Env, u.color)}
	default:
		return fmt.Errorf("unknown kind of progress %q: allowed are auto, plain, json", mode)
	}
	return nil
}

// sizeOf asks the terminal for its size in characters. Where it does not know, an old one is assumed.
func sizeOf(f *os.File) func() (width, height int) {
	return func() (int, int) {
		w, h, err := term.GetSize(int(f.Fd()))
		if err != nil || w <= 0 || h <= 0 {
			return 80, 24
		}
		return w, h
	}
}

func (u *UI) openLog(o Options, level slog.Level) (err error) {
	var handlers fanOut
	switch {
	case u.json:
		handlers = append(handlers, &eventHandler{level: level, emit: u.show})
	case o.LogFormat == "json":
		handlers = append(handlers, newHandler(textWriter{u}, o.LogFormat, level))
	default:
		handlers = append(handlers, newScreenHandler(textWriter{u}, u.color, level))
	}
	handlers = append(handlers, lastLine{u})
	if err := u.openLogFile(o); err != nil {
		return fmt.Errorf("cannot write the log file: %w", err)
	}
	if u.file != nil {
		u.fileLog = cleaner{newHandler(u.file, o.LogFormat, min(level, slog.LevelDebug))}
		handlers = append(handlers, u.fileLog)
	}
	u.logger = slog.New(cleaner{handlers})
	return nil
}

// Logger logs to the screen, between the lines of the steps, and to the log file.
func (u *UI) Logger() *slog.Logger { return u.logger }

// Handle shows an event, whoever it comes from. One without a time happens now.
func (u *UI) Handle(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e = e.redacted()
	if e.Kind == Message {
		u.logMessage(e)
		return
	}
	u.record(e)
	u.time(e)
	u.show(e)
}

// show hands an event to the view.
func (u *UI) show(e Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sum.add(e)
	u.view.event(e)
}

// logMessage logs what another process logged.
func (u *UI) logMessage(e Event) {
	level, err := ParseLevel(e.Level)
	if err != nil {
		level = slog.LevelInfo
	}
	if !u.logger.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(e.Time, level, e.Text, 0)
	for _, k := range sortedKeys(e.Attrs) {
		r.Add(k, e.Attrs[k])
	}
	_ = u.logger.Handler().Handle(context.Background(), r)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// record writes steps to the log file, where nothing else tells what the lines belong to.
func (u *UI) record(e Event) {
	if u.fileLog == nil || e.Kind == Progress {
		return
	}
	r := slog.NewRecord(e.Time, slog.LevelInfo, "step "+string(e.Kind), 0)
	r.Add("step", e.Step, "title", e.Title)
	if e.Kind != Start {
		r.Add("seconds", e.Elapsed.Seconds())
	}
	_ = u.fileLog.Handle(context.Background(), r)
}

// Note says something that belongs to the result, whatever the log level.
func (u *UI) Note(format string, args ...any) {
	text := Redacted(fmt.Sprintf(format, args...))
	if u.json {
		u.show(Event{Time: time.Now(), Kind: Message, Level: "info", Text: text})
		return
	}
	if u.quiet {
		return
	}
	u.write([]byte(printable.Text(text) + "\n"))
}

// Problems shows the lines that render writes, with colours where the screen has them.
func (u *UI) Problems(render func(w io.Writer, color bool)) {
	var b strings.Builder
	render(&b, u.color)
	if u.json {
		u.show(Event{Time: time.Now(), Kind: Message, Level: "error", Text: Redacted(b.String())})
		return
	}
	u.write([]byte(Redacted(b.String())))
}

// Failure shows why the run failed, in which step, and what to do about it; step and hint may be
// empty.
func (u *UI) Failure(err error, step, hint string) {
	text := Describe(err)
	if u.fileLog != nil {
		r := slog.NewRecord(time.Now(), slog.LevelError, text, 0)
		r.Add("step", step, "hint", hint)
		_ = u.fileLog.Handle(context.Background(), r)
	}
	if u.json {
		u.show(Event{Time: time.Now(), Kind: Fail, Step: step, Text: text, Hint: hint}.redacted())
		return
	}
	u.mu.Lock()
	if u.sum.failedStep == step { // whose title the text begins with
		step = ""
	}
	began := !u.sum.first.IsZero()
	u.sum.failed = true
	u.mu.Unlock()
	var b strings.Builder
	renderFailure(&b, err, step, hint, u.color)
	if u.logPath != "" && (began || !u.kept) {
		fmt.Fprintf(&b, "  log: %s\n", printable.Line(u.logPath))
	}
	u.write([]byte(b.String()))
}

func (u *UI) write(b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.view.text(b)
}

// textWriter is the screen as log handlers see it: one call of Write is one record.
type textWriter struct{ u *UI }

func (t textWriter) Write(b []byte) (int, error) {
	t.u.write(b)
	return len(b), nil
}

func (u *UI) ticker() {
	every := u.view.interval()
	if every == 0 {
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-u.stop:
			return
		case now := <-t.C:
			u.mu.Lock()
			u.view.tick(now)
			u.mu.Unlock()
		}
	}
}

// Close ends the drawing and says how long the steps took, when none failed. Steps that did not end
// are no longer drawn.
func (u *UI) Close() error {
	close(u.stop)
	u.stopped.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	if line := u.sum.line(); line != "" && !u.json && !u.quiet {
		u.view.text([]byte(line + "\n"))
	}
	if l, ok := u.view.(*liveView); ok {
		l.end()
	}
	var errs []error
	for _, f := range []*os.File{u.file, u.times} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
