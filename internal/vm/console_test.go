package vm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWaitForGoesPastWhatItMatched(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newSerial(io.Discard, &log)
	go func() {
		for _, part := range []string{"boo", "ting 1\r\nboot", "ing 2\r\n"} {
			_, _ = s.receive([]byte(part))
			time.Sleep(time.Millisecond)
		}
	}()
	re := regexp.MustCompile(`booting (\d)\r\n(never)?`)
	for _, want := range []string{"1", "2"} {
		groups, err := s.WaitFor(t.Context(), re)
		if err != nil || !slices.Equal(groups, []string{"booting " + want + "\r\n", want, ""}) {
			t.Errorf("got %q, %v", groups, err)
		}
	}
	if text := "booting 1\r\nbooting 2\r\n"; s.Console() != text || log.String() != text {
		t.Errorf("console %q, log %q", s.Console(), log.String())
	}
}

func TestWaitForEnds(t *testing.T) {
	t.Parallel()
	crash := errors.New("crash")
	for _, c := range []struct {
		name, want string
		end        func(*Serial, context.CancelFunc)
	}{
		{"cancelled", "context canceled", func(_ *Serial, cancel context.CancelFunc) { cancel() }},
		{"off", "the guest powered off", func(s *Serial, _ context.CancelFunc) { s.hangUp(nil) }},
		{"crashed", "crash", func(s *Serial, _ context.CancelFunc) { s.hangUp(crash); s.hangUp(nil) }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSerial(io.Discard, nil)
		_, _ = s.receive([]byte("first\r\n" + strings.Repeat("\x1b[0;32mline\x1b[0m\r\n", consoleTail-1) + "\x00last\r\n"))
		go c.end(s, cancel)
		_, err := s.WaitFor(ctx, regexp.MustCompile("never"))
		want := "wait for never: " + c.want + "\nlast lines of the console:" + strings.Repeat("\n    line", consoleTail-1) + "\n    last"
		if err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", c.name, err, want)
		}
		cancel()
	}
}
