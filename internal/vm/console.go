package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Serial is a guest's serial console: all that it printed, and a way to type.
type Serial struct {
	in  io.Writer
	log io.Writer

	mu      sync.Mutex
	out     []byte
	read    int           // how much of out WaitFor has gone past
	changed chan struct{} // closed and replaced when out or end changes
	end     error         // set once the line is dead

	shell shell
}

func newSerial(in, log io.Writer) *Serial {
	if log == nil {
		log = io.Discard
	}
	return &Serial{in: in, log: log, changed: make(chan struct{})}
}

// writerFunc is a function as an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// receive takes what the guest prints.
func (c *Serial) receive(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, p...)
	c.notify()
	return c.log.Write(p)
}

func (c *Serial) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// hangUp says that nothing more will come, and why; nil means that the guest powered off.
func (c *Serial) hangUp(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		return
	}
	if c.end = why; why == nil {
		c.end = errors.New("the guest powered off")
	}
	c.notify()
}

// Console returns everything the guest has printed so far.
func (c *Serial) Console() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.out)
}

// WaitFor waits until the guest prints a match, after what earlier calls matched, and returns its
// groups. The error shows the last lines of the console.
func (c *Serial) WaitFor(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	_, groups, err := c.expect(ctx, re)
	return groups, err
}

// expect is WaitFor that also returns the text between the last match and this one.
func (c *Serial) expect(ctx context.Context, re *regexp.Regexp) (before string, groups []string, err error) {
	return c.expectNamed(ctx, re, re.String())
}

// expectNamed is expect that says in errors what was waited for.
func (c *Serial) expectNamed(ctx context.Context, re *regexp.Regexp, name string) (before string, groups []string, err error) {
	for {
		c.mu.Lock()
		before, groups = c.match(re)
		changed, end := c.changed, c.end
		c.mu.Unlock()
		if groups != nil {
			return before, groups, nil
		}
		if end != nil {
			return "", nil, c.failed("wait for "+name, end)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", nil, c.failed("wait for "+name, context.Cause(ctx))
		}
	}
}

// match looks for a match in what is unread, and goes past it.
func (c *Serial) match(re *regexp.Regexp) (before string, groups []string) {
	unread := c.out[c.read:]
	at := re.FindSubmatchIndex(unread)
	if at == nil {
		return "", nil
	}
	for i := 0; i < len(at); i += 2 {
		group := ""
		if at[i] >= 0 {
			group = string(unread[at[i]:at[i+1]])
		}
		groups = append(groups, group)
	}
	c.read += at[1]
	return string(unread[:at[0]]), groups
}

// promptTime bounds one answer of login or the shell, before it is asked again. Without KVM, on a
// busy host, a guest is slow.
const promptTime = 30 * time.Second

// waitBriefly is WaitFor for promptTime. No match in that time gives no groups and no error.
func (c *Serial) waitBriefly(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	brief, cancel := context.WithTimeout(ctx, promptTime)
	defer cancel()
	groups, err := c.WaitFor(brief, re)
	if err != nil && ctx.Err() == nil && brief.Err() != nil {
		return nil, nil
	}
	return groups, err
}

// send types a line.
func (c *Serial) send(line string) error {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return c.failed("type on the console", err)
	}
	return nil
}

// detachKey ends Type: Ctrl-].
const detachKey = 0x1d

// Type hands on what comes from a keyboard, as it is, until Ctrl-].
func (c *Serial) Type(keyboard io.Reader) error {
	buf := make([]byte, 256)
	for {
		n, err := keyboard.Read(buf)
		if err != nil {
			return err
		}
		typed, _, detach := bytes.Cut(buf[:n], []byte{detachKey})
		if _, err := c.in.Write(typed); err != nil || detach {
			return err
		}
	}
}

// consoleTail is how many lines of the console an error shows.
const consoleTail = 15

var escapes = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]`)

// failed is an error with the last lines of the console.
func (c *Serial) failed(what string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := escapes.ReplaceAll(c.out[max(0, len(c.out)-8192):], nil)
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	lines = lines[max(0, len(lines)-consoleTail):]
	return fmt.Errorf("%s: %w\nlast lines of the console:\n    %s", what, err, strings.Join(lines, "\n    "))
}
