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
	last    []string
	quiet   bool
	onLine  func(string)
}

// Write takes output of either stream.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial = append(t.partial, p...)
	for {
		i := bytes.IndexAny(t.partial, "\n\r")
		if i < 0 {
			return len(p), nil
		}
		t.add(string(t.partial[:i]))
		t.partial = t.partial[i+1:]
	}
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
	t.add(string(t.partial))
	t.partial = nil
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.last...)
}
