// Package failure is how a command that did not succeed is told: as data, which crosses from one process
// to another and is shown in the end. Nobody looks for words in an error: what is known of its kind is a
// value.
package failure

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Exit statuses of the program.
const (
	OK          = 0
	Failed      = 1
	Usage       = 2
	Config      = 3
	Host        = 4
	Differs     = 5
	Interrupted = 130
)

// Codes explains the exit statuses, in the order of their numbers, for --help and the docs.
var Codes = []struct {
	Code    int
	Meaning string
}{
	{OK, "the command did what was asked"},
	{Failed, "a step of the run failed; no output was written"},
	{Usage, "the command line is wrong"},
	{Config, "the config file is wrong, or cannot be carried out on this image"},
	{Host, "this host lacks something that the run needs; see the doctor command"},
	{Differs, "what was compared differs"},
	{Interrupted, "interrupted by a signal; no output was written"},
}

// ErrInterrupted is why a run ends that nobody wants any more.
var ErrInterrupted = errors.New("interrupted")

// Failure is the end of a command that did not succeed, or of a part of it. Several may be in one error, each
// with what is known where it was made: Of puts them together.
type Failure struct {
	Code  int    // exit status; 0 where it is not known
	Step  string // step of the run that failed; may be empty
	Path  string // what in the config asked for it, such as scripts.postCustomization[1]; may be empty
	Hint  string // what the user can do; may be empty
	Err   error  // what went wrong, with what went wrong when it was cleaned up
	Shown bool   // the user has seen the text already
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Of is an error as one failure with an exit status. Nothing of its text is lost.
func Of(err error) *Failure {
	if err == nil {
		return nil
	}
	whole := &Failure{Err: err}
	var hints []string
	each(err, func(f *Failure) {
		if whole.Code == OK {
			whole.Code = f.Code
		}
		if whole.Step == "" {
			whole.Step = f.Step
		}
		if whole.Path == "" {
			whole.Path = f.Path
		}
		if f.Hint != "" && !slices.Contains(hints, f.Hint) {
			hints = append(hints, f.Hint)
		}
		whole.Shown = whole.Shown || f.Shown
	})
	whole.Hint = strings.Join(hints, "; ")
	switch {
	case errors.Is(err, ErrInterrupted):
		whole.Code = Interrupted
	case whole.Code == OK && errors.Is(err, context.Canceled):
		whole.Code, whole.Err = Interrupted, interrupted(err)
	case whole.Code == OK:
		whole.Code = Failed
	}
	return whole
}

// interrupted says what a user wants to know who pressed Ctrl-C, and what else went wrong.
func interrupted(err error) error {
	errs := []error{&Cause{Kind: Cancelled, Text: "interrupted; no output was written"}}
	for _, c := range Causes(err) {
		if c.Kind != Cancelled {
			errs = append(errs, c)
		}
	}
	return errors.Join(errs...)
}

// each visits the failures in an error, the outermost first.
func each(err error, visit func(*Failure)) {
	if f, ok := err.(*Failure); ok {
		visit(f)
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			each(inner, visit)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			each(inner, visit)
		}
	}
}

// wire is a Failure on its way to another process.
type wire struct {
	Code   int      `json:"code"`
	Step   string   `json:"step,omitempty"`
	Path   string   `json:"path,omitempty"`
	Hint   string   `json:"hint,omitempty"`
	Causes []*Cause `json:"causes"`
	Shown  bool     `json:"shown,omitempty"`
}

// MarshalJSON writes the failure with its causes as data.
func (f *Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(wire{f.Code, f.Step, f.Path, f.Hint, Causes(f.Err), f.Shown})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Failure) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	var errs []error
	for _, c := range w.Causes {
		if c != nil {
			errs = append(errs, c)
		}
	}
	*f = Failure{Code: w.Code, Step: w.Step, Path: w.Path, Hint: w.Hint, Err: errors.Join(errs...), Shown: w.Shown}
	return nil
}
