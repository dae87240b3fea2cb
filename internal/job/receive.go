package job

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/ui"
)

// Limits on what a worker may say. No run comes near.
const (
	maxMessage = 16 << 20  // bytes of one message
	maxEvents  = 1_000_000 // but for those of progress, of which more are passed over
	maxLogged  = 256 << 20 // bytes of log records; more are passed over
	maxText    = 64 << 10  // bytes of a text in an event
	maxAsked   = 2000      // questions for signatures
	maxSaid    = 64 << 10  // bytes that a worker prints when it cannot start
)

// errRule is how a worker ends that says what none says.
var errRule = errors.New("the worker broke off: it said what no worker says")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", errRule, fmt.Sprintf(format, args...))
}

// receiver reads what a worker says. It believes nothing of that: see the rule in the package's comment.
type receiver struct {
	job    *Job
	report func(ui.Event)
	desk   *desk
	result *Result
	events int
	asked  int
	logged int
}

// receive reads the worker's messages to their end and returns its result, if it sent one. An error is one of the rule.
func (r *receiver) receive(from io.Reader) (*Result, error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		if err := r.message(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, broken("a message of more than %d MiB", maxMessage>>20)
	}
	return r.result, nil
}

func (r *receiver) message(line []byte) error {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		if !json.Valid(line) { // cut off: the worker was killed
			return nil
		}
		return broken("%v", err)
	}
	switch {
	case r.result != nil:
		return broken("a message after the result")
	case m.Event != nil:
		return r.event(m.Event)
	case m.Log != nil:
		if r.logged += len(line); r.logged <= maxLogged {
			m.Log.replay()
		} else if r.logged-len(line) <= maxLogged {
			slog.Warn("the log is too long: the rest of it is left out", "MiB", maxLogged>>20)
		}
	case m.Announce != nil && r.desk != nil:
		r.desk.announce(m.Announce)
	case m.Ask != nil && r.desk != nil:
		if r.asked++; r.asked > maxAsked {
			return broken("more than %d questions for signatures", maxAsked)
		}
		r.desk.answer(m.Ask)
	case m.Result != nil:
		r.result = m.Result
		return m.Result.check(r.job)
	default:
		return broken("an empty message")
	}
	return nil
}

// kinds are those of events that a worker sends.
var kinds = []ui.Kind{ui.Start, ui.Progress, ui.Done, ui.Fail, ui.Message}

func (r *receiver) event(e *ui.Event) error {
	if r.events++; r.events > maxEvents && e.Kind == ui.Progress {
		return nil
	}
	if r.events > maxEvents || !slices.Contains(kinds, e.Kind) {
		return broken("an event of the kind %.20q, the %dth", e.Kind, r.events)
	}
	for _, text := range []*string{&e.Step, &e.Title, &e.Level, &e.Text, &e.Hint} {
		*text = (*text)[:min(len(*text), maxText)]
	}
	if r.report != nil {
		r.report(*e)
	}
	return nil
}

// check makes a result one that others can rely on: it has all that its job asks for, or a failure.
func (r *Result) check(j *Job) error {
	if f := r.Failure; f != nil {
		// Whether it was a success, and whether the user has seen it, is not the worker's to say.
		if f.Shown = false; !slices.Contains([]int{failure.Failed, failure.Config, failure.Host, failure.Interrupted}, f.Code) {
			f.Code = failure.Failed
		}
		if f.Err == nil {
			f.Err = errors.New("the worker failed, and did not say why")
		}
		return nil
	}
	switch {
	case len(r.Problems) > 0:
		return broken("problems, but no failure")
	case j.Kind == Examine && r.Host == nil:
		return broken("nothing of the host")
	}
	return r.checkUnwritten(j)
}

// checkUnwritten lets a worker leave out only outputs of single partitions, which an image may not have.
func (r *Result) checkUnwritten(j *Job) error {
	seen := map[string]bool{}
	for _, name := range r.Unwritten {
		i := slices.IndexFunc(j.Outputs, func(o *Output) bool { return o.Path == name })
		if seen[name] || i < 0 || j.Outputs[i].Split == "" {
			return broken("%.100q was not written", name)
		}
		seen[name] = true
	}
	return nil
}

// CheckWritten tells whether something was written into every output that the worker has not left out.
func (j *Job) CheckWritten(r *Result) error {
	for _, o := range j.Outputs {
		if o.Format.Folder || o.Pending == nil || slices.Contains(r.Unwritten, o.Path) {
			continue
		}
		if fi, err := o.Pending.File().Stat(); err != nil || fi.Size() == 0 {
			return errors.Join(broken("nothing was written into %s", o.Path), err)
		}
		if o.Split == "" && !o.Format.Marked(o.Pending.File()) {
			return broken("what was written into %s is not %s", o.Path, o.Format.Name)
		}
	}
	return nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	text bytes.Buffer
}

func (b *firstBytes) Write(p []byte) (int, error) {
	b.text.Write(p[:max(0, min(len(p), maxSaid-b.text.Len()))])
	return len(p), nil
}

func (b *firstBytes) String() string { return strings.ToValidUTF8(b.text.String(), "?") }
