package failure

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// Kind is why something failed, as far as that is known.
type Kind string

// The kinds.
const (
	Other     Kind = ""
	NoSpace   Kind = "no space"
	IO        Kind = "input/output"
	NotFound  Kind = "not found"
	Denied    Kind = "denied"
	Exit      Kind = "exit status"
	Cancelled Kind = "cancelled"
	Refused   Kind = "refused" // the config asks for what the image does not allow
)

// kinds tells kinds by the errors that they wrap.
var kinds = []struct {
	kind Kind
	is   error
}{
	{Cancelled, ErrInterrupted},
	{Cancelled, context.Canceled},
	{NoSpace, unix.ENOSPC},
	{IO, unix.EIO},
	{NotFound, fs.ErrNotExist},
	{Denied, fs.ErrPermission},
}

// Cause is one reason of a failure, as data.
type Cause struct {
	Kind    Kind     `json:"kind,omitempty"`
	Text    string   `json:"text"`              // what went wrong, without what the command printed
	Command string   `json:"command,omitempty"` // that failed, as a person would type it
	Exit    int      `json:"exit,omitempty"`    // its exit status
	Tail    []string `json:"tail,omitempty"`    // its last lines
}

func (c *Cause) Error() string { return c.Text }

// Causes takes an error apart: one cause for each of the errors that were joined, whatever is wrapped around
// them. Their texts, one a line, are the error's own, but for what commands printed.
func Causes(err error) []*Cause {
	switch x := err.(type) {
	case nil:
		return nil
	case *Cause:
		return []*Cause{x}
	case *hostcmd.Error:
	case interface{ Unwrap() []error }:
		if list := apart(x.Unwrap()); err.Error() == text(x.Unwrap()) {
			return list
		}
	case interface{ Unwrap() error }:
		inner := x.Unwrap()
		list := Causes(inner)
		if len(list) < 2 {
			break
		}
		if before, ends := strings.CutSuffix(err.Error(), inner.Error()); ends {
			first := *list[0]
			first.Text = before + first.Text
			return append([]*Cause{&first}, list[1:]...)
		}
	}
	return []*Cause{single(err)}
}

func apart(errs []error) (list []*Cause) {
	for _, e := range errs {
		list = append(list, Causes(e)...)
	}
	return list
}

// text is that of joined errors.
func text(errs []error) string { return errors.Join(errs...).Error() }

// single is an error that is not taken apart any further.
func single(err error) *Cause {
	c := &Cause{Text: err.Error()}
	if known, ok := errors.AsType[*Cause](err); ok {
		text := c.Text
		*c = *known
		c.Text = text
		return c
	}
	if x, ok := errors.AsType[*hostcmd.Error](err); ok {
		c.Kind, c.Command, c.Exit, c.Tail = Exit, x.Command, x.Exit, x.Tail
		c.Text = strings.Replace(c.Text, x.Error(), x.Err.Error(), 1)
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			c.Kind = k.kind
			break
		}
	}
	if k, ok := errors.AsType[interface {
		error
		FailureKind() Kind
	}](err); ok {
		c.Kind = k.FailureKind()
	}
	return c
}

// Has tells whether one of the error's causes is of a kind.
func Has(err error, kind Kind) bool {
	return slices.ContainsFunc(Causes(err), func(c *Cause) bool { return c.Kind == kind })
}
