package failure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// crossed is a failure as another process gets it.
func crossed(t *testing.T, f *Failure) *Failure {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var got Failure
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return &got
}

func TestCausesAreTakenApart(t *testing.T) {
	t.Parallel()
	command := &hostcmd.Error{Command: "mkfs.ext4 /dev/loop0p1", Exit: 1, Tail: []string{"one", "No space left on device"}, Err: errors.New("exit status 1")}
	full := &fs.PathError{Op: "write", Path: "/x", Err: unix.ENOSPC}
	for name, c := range map[string]struct {
		err  error
		want []*Cause
	}{
		"nothing":  {nil, nil},
		"a text":   {errors.New("it broke"), []*Cause{{Text: "it broke"}}},
		"a prefix": {fmt.Errorf("make a disk: %w", full), []*Cause{{Kind: NoSpace, Text: "make a disk: write /x: no space left on device"}}},
		"a command": {fmt.Errorf("format: %w", command), []*Cause{
			{Kind: Exit, Text: "format: exit status 1", Command: command.Command, Exit: 1, Tail: command.Tail},
		}},
		"a clean-up that failed too": {
			fmt.Errorf("format: %w", errors.Join(command, fmt.Errorf("detach: %w", unix.EIO))),
			[]*Cause{
				{Kind: Exit, Text: "format: exit status 1", Command: command.Command, Exit: 1, Tail: command.Tail},
				{Kind: IO, Text: "detach: input/output error"},
			},
		},
		"two of the same kind": {errors.Join(command, nil, errors.Join(command, os.ErrNotExist)), []*Cause{
			{Kind: Exit, Text: "exit status 1", Command: command.Command, Exit: 1, Tail: command.Tail},
			{Kind: Exit, Text: "exit status 1", Command: command.Command, Exit: 1, Tail: command.Tail},
			{Kind: NotFound, Text: "file does not exist"},
		}},
		"a cause in a sentence": {fmt.Errorf("this (%w) was it", errors.Join(full, fs.ErrPermission)), []*Cause{
			{Kind: NoSpace, Text: "this (write /x: no space left on device\npermission denied) was it"},
		}},
		"words alone": {errors.New("a script said: no space left on device"), []*Cause{{Text: "a script said: no space left on device"}}},
		"cancelled":   {fmt.Errorf("apt-get: %w", ErrInterrupted), []*Cause{{Kind: Cancelled, Text: "apt-get: interrupted"}}},
	} {
		if diff := cmp.Diff(c.want, Causes(c.err)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if c.err == nil {
			continue
		}
		if diff := cmp.Diff(c.want, Causes(crossed(t, Of(c.err)).Err)); diff != "" {
			t.Errorf("%s, in another process:\n%s", name, diff)
		}
	}
}

func TestOfPutsFailuresTogether(t *testing.T) {
	t.Parallel()
	verdict := &Failure{Code: Config, Hint: "mend it", Err: errors.New("not fit")}
	for name, c := range map[string]struct {
		err  error
		want Failure
		text string
	}{
		"none inside":   {errors.New("x"), Failure{Code: Failed}, "x"},
		"in a step":     {&Failure{Step: "verify", Err: fmt.Errorf("look: %w", verdict)}, Failure{Code: Config, Step: "verify", Hint: "mend it"}, "look: not fit"},
		"with clean-up": {errors.Join(&Failure{Step: "verify", Err: verdict}, errors.New("unmount: busy")), Failure{Code: Config, Step: "verify", Hint: "mend it"}, "not fit\nunmount: busy"},
		"two hints": {errors.Join(verdict, &Failure{Code: Host, Hint: "mount it", Err: errors.New("y")}, verdict),
			Failure{Code: Config, Hint: "mend it; mount it"}, "not fit\ny\nnot fit"},
		"interrupted in a step": {&Failure{Step: "s", Err: fmt.Errorf("apt-get: %w", ErrInterrupted)}, Failure{Code: Interrupted, Step: "s"}, "apt-get: interrupted"},
		"Ctrl-C and clean-up":   {errors.Join(context.Canceled, errors.New("unmount: busy")), Failure{Code: Interrupted}, "interrupted; no output was written\nunmount: busy"},
		"shown":                 {fmt.Errorf("x: %w", &Failure{Code: Config, Shown: true, Err: errors.New("y")}), Failure{Code: Config, Shown: true}, "x: y"},
	} {
		for place, got := range map[string]*Failure{"here": Of(c.err), "in another process": crossed(t, Of(c.err)), "there and wrapped": Of(fmt.Errorf("%w", crossed(t, Of(c.err))))} {
			if text := got.Error(); text != c.text {
				t.Errorf("%s, %s: %q, want %q", name, place, text, c.text)
			}
			c.want.Err, got.Err = nil, nil
			if *got != c.want {
				t.Errorf("%s, %s: %+v, want %+v", name, place, *got, c.want)
			}
		}
	}
}

// TestNothingOfATextIsLost builds errors of every shape at random and reads the texts of their causes.
func TestNothingOfATextIsLost(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	leaves := []error{unix.ENOSPC, unix.EIO, fs.ErrNotExist, errors.New("a\nb"), ErrInterrupted, &Cause{Kind: Denied, Text: "no"}}
	var grow func(depth int) error
	grow = func(depth int) error {
		if depth == 0 {
			return leaves[r.IntN(len(leaves))]
		}
		inner := grow(depth - 1)
		switch r.IntN(5) {
		case 0:
			return fmt.Errorf("p%d: %w", depth, inner)
		case 1:
			return errors.Join(inner, grow(depth-1))
		case 2:
			return &Failure{Step: "s", Err: fmt.Errorf("step: %w", inner)}
		case 3:
			return fmt.Errorf("two: %w and %w", inner, grow(depth-1))
		default:
			return errors.Join(inner)
		}
	}
	for range 2000 {
		err := grow(r.IntN(6))
		var texts []string
		for _, c := range Causes(err) {
			texts = append(texts, c.Text)
		}
		if got := strings.Join(texts, "\n"); got != err.Error() {
			t.Fatalf("%q became %q", err.Error(), got)
		}
		if got := crossed(t, Of(err)).Error(); got != err.Error() {
			t.Fatalf("%q crossed as %q", err.Error(), got)
		}
	}
}
