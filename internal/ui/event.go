// Package ui shows a run to people and to machines: events become live lines on a terminal, plain
// lines elsewhere or NDJSON; log records go between them and to the log file. Nothing that was
// registered with Redact is ever printed.
package ui

import (
	"encoding/json"
	"time"
)

// Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	Start    Kind = "start"    // a step begins: step, title
	Progress Kind = "progress" // a step has got this far: step, done, total
	Done     Kind = "done"     // a step has succeeded: step, title, elapsed
	Fail     Kind = "fail"     // a step, or the run, has failed: step, title, elapsed, text, hint
	Message  Kind = "message"  // a note or a log record: level, text, attrs
)

// Event is one line of --progress=json: a JSON object with the fields named here, of which those
// that do not apply are absent.
type Event struct {
	Time    time.Time      `json:"time"`            // RFC 3339
	Kind    Kind           `json:"kind"`            // start, progress, done, fail or message
	Stage   string         `json:"stage,omitempty"` // of the run: input, disk, system, boot, seal, check or output
	Step    string         `json:"step,omitempty"`  // what kind of step, such as packages.install
	Title   string         `json:"title,omitempty"` // what the step does, for people
	Done    int64          `json:"done,omitempty"`  // bytes so far
	Total   int64          `json:"total,omitempty"` // bytes in the end
	Elapsed time.Duration  `json:"-"`               // since the step's start; "elapsed" in seconds
	Level   string         `json:"level,omitempty"` // of a message: trace, debug, info, warn, error, fatal or panic
	Text    string         `json:"text,omitempty"`  // of a message or a failure
	Hint    string         `json:"hint,omitempty"`  // what to do about a failure
	Attrs   map[string]any `json:"attrs,omitempty"` // of a message
}

// plainEvent is Event without its methods.
type plainEvent Event

type wireEvent struct {
	plainEvent
	Seconds float64 `json:"elapsed,omitempty"`
}

// MarshalJSON writes the elapsed time in seconds.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireEvent{plainEvent(e), e.Elapsed.Seconds()})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Event) UnmarshalJSON(b []byte) error {
	var w wireEvent
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*e = Event(w.plainEvent)
	e.Elapsed = time.Duration(w.Seconds * float64(time.Second)).Round(time.Microsecond)
	return nil
}

// redacted is the event without secrets.
func (e Event) redacted() Event {
	e.Title, e.Text, e.Hint = Redacted(e.Title), Redacted(e.Text), Redacted(e.Hint)
	if e.Attrs != nil {
		clean := make(map[string]any, len(e.Attrs))
		for k, v := range e.Attrs {
			clean[k] = redactAny(v)
		}
		e.Attrs = clean
	}
	return e
}
