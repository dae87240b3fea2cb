package hostcmd

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// tailLines is how many of its last lines a failed command shows.
const tailLines = 20

// tail logs what a command prints, line by line, and remembers the last lines.
type tail struct {
	mu      sync.Mutex
	partial []byte
	cut     bool // it is not all of the line so far
	last    []string
	quiet   bool
	onLine  func(string)
}

// maxLine bounds what is kept of a line, in bytes: a program may print one that has no end.
const maxLine = 64 << 10

// Write takes output of either stream.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := p; ; {
		i := bytes.IndexAny(rest, "\n\r")
		if i < 0 {
			t.gather(rest)
			return len(p), nil
		}
		t.gather(rest[:i])
		t.end()
		rest = rest[i+1:]
	}
}

func (t *tail) gather(p []byte) {
	room := maxLine - len(t.partial)
	t.partial = append(t.partial, p[:min(len(p), room)]...)
	t.cut = t.cut || len(p) > room
}

func (t *tail) end() {
	if t.cut {
		t.partial = append(t.partial, " ... (the rest of the line is left out)"...)
	}
	t.add(string(t.partial))
	t.partial, t.cut = t.partial[:0], false
}

func (t *tail) add(line string) {
	line = strings.TrimRight(line, " \t")
	if line == "" {
		return
	}
	if !t.quiet {
		slog.Debug(line, "source", "command")
	}
	if t.onLine != nil {
		t.onLine(line)
	}
	if t.last = append(t.last, line); len(t.last) > tailLines {
		t.last = t.last[1:]
	}
}

func (t *tail) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.last...)
}
