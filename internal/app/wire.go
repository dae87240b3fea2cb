package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/ui"
	"imagecustomizer/internal/verify"
)

// job is what the supervisor asks the worker to do. Files are named by their index in the worker's
// inherited files.
type job struct {
	Config     []compose.File // the config files, as they were when they were validated
	ConfigFile string         // the first of them
	Image      string         // base image
	base       witness        // what its file was before it was read, for the supervisor alone
	named      []string       // files and folders that the config names, likewise
	Format     image.Format
	Root       image.Choice // of the base image
	Remake     bool         // the base image and all outputs are ISO images with the same system
	NewDisk    bool
	OnBase     bool // only what is written to the base image's disk takes space
	Base       int  // file for the disk of the base image: fileDisk, unless that is to be a new disk
	Outputs    []jobOutput
	RPMSources []string
	DebSources []string
	NoBaseRepo bool
	DryRun     bool
	Examine    bool // only find out what the worker can do on this host
	Installs   bool // packages are added or updated
	Convert    bool // only write the outputs
	Verify     bool // only look for what is wrong with the image
	Now        time.Time
	Version    string
	Fixed      bool      // the same inputs give the same bytes: times are Now
	Seed       seed.Seed // of identifiers and salts
}

// reads lists the host's files and folders that the worker reads.
func (j *job) reads() []string {
	list := slices.Concat([]string{j.Image}, j.RPMSources, j.DebSources, j.named)
	for _, f := range j.Config {
		if dir := filepath.Dir(f.Path); !sandbox.TooMuch(dir) && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	return list
}

// jobOutput is one output file of a job.
type jobOutput struct {
	Format string
	Path   string // final path, for the names inside it
	Level  int    // of compression; 0 means the format's own
	Shrunk bool   // of the disk with its filesystems shrunk

	Split     output.Split // not empty: only this partition, if there is one
	Partition int

	File int // index of the file to write; fileDisk means that the working disk is the output
}

// Indexes of the files that every worker inherits.
const (
	fileDisk = iota
	fileScratch
	fileFirstOutput
)

// message is one line from the worker: an event, a log record or, last, the result.
type message struct {
	Event  *ui.Event `json:"event,omitempty"`
	Log    *record   `json:"log,omitempty"`
	Result *result   `json:"result,omitempty"`
}

// record is a log record on its way to the supervisor's log.
type record struct {
	Level slog.Level     `json:"level"`
	Text  string         `json:"text"`
	Attrs map[string]any `json:"attrs,omitempty"`
}

// result is how the worker's job ended.
type result struct {
	OK    bool       `json:"ok"`
	Code  int        `json:"code,omitempty"`
	Step  string     `json:"step,omitempty"`
	Error string     `json:"error,omitempty"`
	Hint  string     `json:"hint,omitempty"`
	Plan  []planLine `json:"plan,omitempty"`
	Host  *abilities `json:"host,omitempty"`

	Findings  []verify.Finding `json:"findings,omitempty"`
	Unwritten []int            `json:"unwritten,omitempty"` // outputs there was nothing to write into
}

// planLine is one step of a plan that is only shown.
type planLine struct{ Name, Text string }

func planLines(p plan.Plan) []planLine {
	lines := make([]planLine, len(p))
	for i, s := range p {
		lines[i] = planLine{s.Name(), s.String()}
	}
	return lines
}

// resultOf turns the outcome of a job into its last message.
func resultOf(err error) *result {
	if err == nil {
		return &result{OK: true}
	}
	f := AsFailure(err)
	r := &result{Code: f.Code, Step: f.Step, Error: ui.Describe(f.Err), Hint: f.Hint}
	if s, ok := errors.AsType[*engine.StepError](err); ok {
		r.Step = s.Step
	}
	if errors.Is(err, errCancelled) {
		r.Code = ExitInterrupted
	}
	return r
}

// err is the failure that a result tells of, or nil.
func (r *result) err() error {
	if r.OK {
		return nil
	}
	return &Failure{Code: r.Code, Step: r.Step, Hint: r.Hint, Err: errors.New(r.Error)}
}

// errCancelled is why a worker's context ended: the supervisor closed its pipe or is gone.
var errCancelled = errors.New("interrupted")

// runWorker has a worker do the job and reports its events. It returns when everything the worker
// started has ended.
func runWorker(ctx context.Context, j *job, spec sandbox.Spec, report func(ui.Event)) (*result, error) {
	if os.Geteuid() != 0 {
		return nil, &Failure{Code: ExitHost, Err: errors.New("root is needed for mounts and loop devices"), Hint: hostHint()}
	}
	var said bytes.Buffer
	spec.Errors, spec.Shown = &said, j.reads()
	w, err := sandbox.Start(spec)
	if err != nil {
		return nil, &Failure{Code: ExitHost, Err: err, Hint: hostHint()}
	}
	defer w.Out.Close()
	stop := context.AfterFunc(ctx, func() { cancelWorker(w) })
	defer stop()
	if err := json.NewEncoder(w.In).Encode(j); err != nil {
		w.Kill()
	}
	res := receive(w.Out, report)
	err = w.Wait()
	if res == nil && ctx.Err() != nil {
		return nil, context.Canceled
	}
	text := strings.TrimSpace(said.String())
	switch {
	case res == nil && strings.Contains(text, sandbox.SetUpFailed):
		return nil, &Failure{Code: ExitHost, Err: errors.New(text), Hint: hostHint()}
	case res == nil:
		return nil, &Failure{Code: ExitFailed, Err: errors.Join(errors.New("the worker ended without a result"), err, errors.New(text))}
	case text != "":
		slog.Warn("the worker said: " + text)
	}
	return res, res.err()
}

// cancelGrace is how long a cancelled worker has to undo its mounts before it is killed, which
// leaves as little behind but cannot say what happened.
const cancelGrace = 20 * time.Second

func cancelWorker(w *sandbox.Process) {
	_ = w.In.Close()
	time.AfterFunc(cancelGrace, w.Kill)
}

// receive reads the worker's messages to their end and returns its result, if it sent one.
func receive(from io.Reader, report func(ui.Event)) (res *result) {
	dec := json.NewDecoder(from)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			return res
		}
		switch {
		case m.Event != nil:
			report(*m.Event)
		case m.Log != nil:
			m.Log.replay()
		case m.Result != nil:
			res = m.Result
		}
	}
}

func (r *record) replay() {
	attrs := make([]slog.Attr, 0, len(r.Attrs))
	for k, v := range r.Attrs {
		attrs = append(attrs, slog.Any(k, v))
	}
	slog.LogAttrs(context.Background(), r.Level, r.Text, attrs...)
}

// sender writes messages to the supervisor. It is a slog.Handler too.
type sender struct {
	mu    *sync.Mutex
	enc   *json.Encoder
	attrs []slog.Attr
}

func newSender(out *os.File) *sender { return &sender{mu: &sync.Mutex{}, enc: json.NewEncoder(out)} }

func (s *sender) send(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.enc.Encode(m) // a supervisor that is gone has ended us already
}

func (s *sender) event(e ui.Event) { s.send(message{Event: &e}) }

// Enabled lets every record through: the supervisor knows the level.
func (s *sender) Enabled(context.Context, slog.Level) bool { return true }

// Handle sends a log record.
func (s *sender) Handle(_ context.Context, r slog.Record) error {
	rec := &record{Level: r.Level, Text: r.Message, Attrs: map[string]any{}}
	add := func(a slog.Attr) bool {
		rec.Attrs[a.Key] = a.Value.Any()
		if err, ok := a.Value.Any().(error); ok {
			rec.Attrs[a.Key] = err.Error()
		}
		return true
	}
	for _, a := range s.attrs {
		add(a)
	}
	r.Attrs(add)
	s.send(message{Log: rec})
	return nil
}

// WithAttrs returns a handler that adds attributes to every record.
func (s *sender) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &sender{mu: s.mu, enc: s.enc, attrs: append(s.attrs[:len(s.attrs):len(s.attrs)], attrs...)}
}

// WithGroup is not used by this program; groups are flattened.
func (s *sender) WithGroup(string) slog.Handler { return s }
