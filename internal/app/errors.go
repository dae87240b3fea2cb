package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit statuses of the program.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitConfig      = 3
	ExitHost        = 4
	ExitInterrupted = 130
)

// ExitCodes explains the exit statuses, in the order of their numbers, for --help and the docs.
var ExitCodes = []struct {
	Code    int
	Meaning string
}{
	{ExitOK, "the command did what was asked"},
	{ExitFailed, "a step of the run failed; no output was written"},
	{ExitUsage, "the command line is wrong"},
	{ExitConfig, "the config file is wrong, or cannot be carried out on this image"},
	{ExitHost, "this host lacks something that the run needs; see the doctor command"},
	{ExitInterrupted, "interrupted by a signal; no output was written"},
}

// Failure is the end of a command that did not succeed.
type Failure struct {
	Code int    // exit status
	Step string // step of the run that failed; may be empty
	Hint string // what the user can do; may be empty
	Err  error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// AsFailure returns err as a Failure with an exit status.
func AsFailure(err error) *Failure {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if errors.Is(err, context.Canceled) {
		return &Failure{Code: ExitInterrupted, Err: errors.New("interrupted; no output was written")}
	}
	return &Failure{Code: ExitFailed, Err: err}
}

// usage collects mistakes of the command line, so that all are reported at once.
type usage []string

func (u *usage) add(format string, args ...any) { *u = append(*u, fmt.Sprintf(format, args...)) }

func (u *usage) check(err error) {
	if err != nil {
		*u = append(*u, err.Error())
	}
}

func (u usage) err() error {
	if len(u) == 0 {
		return nil
	}
	return &Failure{Code: ExitUsage, Err: errors.New(strings.Join(u, "\n"))}
}
