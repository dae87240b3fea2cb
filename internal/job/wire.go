package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/ui"
	"imagecustomizer/internal/verify"
)

// Message is one line from the worker: an event, a log record, something about signatures or, last, the result.
type Message struct {
	Event  *ui.Event `json:"event,omitempty"`
	Log    *Record   `json:"log,omitempty"`
	Result *Result   `json:"result,omitempty"`

	Announce []Announced `json:"announce,omitempty"`
	Ask      *Ask        `json:"ask,omitempty"`
}

// Record is a log record on its way to the supervisor's log.
type Record struct {
	Level slog.Level     `json:"level"`
	Text  string         `json:"text"`
	Attrs map[string]any `json:"attrs,omitempty"`
}

// Result is how a job ended.
type Result struct {
	Failure   *failure.Failure `json:"failure,omitempty"`  // nil where the job is done
	Problems  []plan.Problem   `json:"problems,omitempty"` // why the config cannot be carried out: part of the failure
	Facts     *compose.Facts   `json:"facts,omitempty"`    // by which a config was made that depends on them
	Systemd   int              `json:"systemd,omitempty"`  // version of the image's, 0 where it has none
	Plan      []Line           `json:"plan,omitempty"`     // of a run that was only planned
	Host      *Abilities       `json:"host,omitempty"`
	Findings  []verify.Finding `json:"findings,omitempty"`
	Identity  []identity.Trace `json:"identity,omitempty"`  // what an image holds of the machine on which it was made
	Unwritten []string         `json:"unwritten,omitempty"` // paths of outputs that there is nothing to write into
}

// Line is one step of a plan that is only shown.
type Line struct {
	Stage      plan.Stage
	Name, Text string
}

// Abilities are what a worker can do on this host. Each is empty, or the reason why not.
type Abilities struct {
	Worker     string // have namespaces, mounts and a root folder of its own
	Loop       string // attach loop devices
	Partitions string // use devices of their partitions
}

// fail makes an error part of the result.
func (r *Result) fail(err error) {
	r.Failure = failure.Of(err)
	if u, ok := errors.AsType[*plan.Unmet](err); ok {
		r.Problems = u.Problems
		if r.Failure.Code == failure.Failed {
			r.Failure.Code = failure.Config
		}
	}
}

// Transport starts workers.
type Transport interface {
	Start(*Job) (Link, error)
}

// Link is the connection to a worker: the job is written to it, and messages are read from it.
type Link interface {
	io.ReadWriteCloser
	Cancel()     // tells the worker that nobody wants its job any more
	Kill()       // ends it and everything it started at once
	Wait() error // returns when it and everything it started has ended
}

// cancelGrace is how long a cancelled worker has to undo its mounts before it is killed, which
// leaves as little behind but cannot say what happened.
const cancelGrace = 20 * time.Second

// Run has a worker do the job and reports its events. It returns when everything the worker started has
// ended. The error is the failure that the result tells of, or that there is no result.
func Run(ctx context.Context, t Transport, j *Job, report func(ui.Event)) (*Result, error) {
	link, err := t.Start(j)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	stop := context.AfterFunc(ctx, func() {
		link.Cancel()
		time.AfterFunc(cancelGrace, link.Kill)
	})
	defer stop()
	if err := json.NewEncoder(link).Encode(j); err != nil {
		link.Kill()
	}
	signatures, ended := context.WithCancel(ctx)
	d := &desk{ctx: signatures, signer: j.Signer, out: link}
	res, rule := (&receiver{job: j, report: report, desk: d}).receive(link)
	if rule != nil {
		link.Kill()
	}
	ended() // nobody waits for an answer any more
	d.asked.Wait()
	err = link.Wait()
	switch {
	case res == nil && ctx.Err() != nil:
		return nil, context.Canceled
	case rule != nil:
		return nil, &failure.Failure{Code: failure.Failed, Err: errors.Join(rule, err)}
	case res == nil:
		return nil, &failure.Failure{Code: failure.Failed, Err: errors.Join(errors.New("the worker ended without a result"), err)}
	case res.Failure != nil:
		return res, res.Failure
	}
	return res, nil
}

func (r *Record) replay() {
	attrs := make([]slog.Attr, 0, len(r.Attrs))
	for k, v := range r.Attrs {
		attrs = append(attrs, slog.Any(k, v))
	}
	slog.LogAttrs(context.Background(), r.Level, r.Text, attrs...)
}

// Serve is the worker's end: it reads one job, has it done, and sends the result. An end of its input, before
// a job or later, means that nobody wants it any more.
func Serve(in io.Reader, out io.Writer, do func(context.Context, *Job, *Sender, *Result) error) {
	dec := json.NewDecoder(in)
	send := &Sender{mu: &sync.Mutex{}, enc: json.NewEncoder(out), answers: &answers{}}
	res := &Result{}
	var j Job
	err := dec.Decode(&j)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return
	case err != nil:
		err = fmt.Errorf("the worker cannot read its job: %w", err)
	default:
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() {
			send.answers.read(dec)
			cancel(failure.ErrInterrupted)
		}()
		err = do(ctx, &j, send, res)
	}
	if err != nil {
		res.fail(err)
	}
	send.send(Message{Result: res})
}

// Sender sends what happens in the worker to the supervisor. It is a slog.Handler too.
type Sender struct {
	mu    *sync.Mutex
	enc   *json.Encoder
	attrs []slog.Attr

	answers *answers
}

func (s *Sender) send(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.enc.Encode(m) // a supervisor that is gone has ended us already
}

// Event sends an event.
func (s *Sender) Event(e ui.Event) { s.send(Message{Event: &e}) }

// Enabled lets every record through: the supervisor knows the level.
func (s *Sender) Enabled(context.Context, slog.Level) bool { return true }

// Handle sends a log record.
func (s *Sender) Handle(_ context.Context, r slog.Record) error {
	rec := &Record{Level: r.Level, Text: r.Message, Attrs: map[string]any{}}
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
	s.send(Message{Log: rec})
	return nil
}

// WithAttrs returns a handler that adds attributes to every record.
func (s *Sender) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Sender{mu: s.mu, enc: s.enc, answers: s.answers, attrs: append(s.attrs[:len(s.attrs):len(s.attrs)], attrs...)}
}

// WithGroup is not used by this program; groups are flattened.
func (s *Sender) WithGroup(string) slog.Handler { return s }
