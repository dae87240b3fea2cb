package hostcmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// patience is how long a program may neither compute nor read nor write. How long it takes in all is nobody's
// to say: an image may be large, and its disk slow.
var patience = 5 * time.Minute

// looks is how often a program is looked at in that time.
const looks = 10

// watch calls stop, once, when the programs of a process group have done nothing for too long, and returns when
// ended is closed. What they print and nobody has taken yet is not their fault.
func watch(group int, taking *atomic.Int32, ended <-chan struct{}, stop func(error)) {
	tick := time.NewTicker(patience / looks)
	defer tick.Stop()
	last, since := "", time.Now()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if now := work(group); now != last || taking.Load() > 0 {
			last, since = now, time.Now()
		}
		if time.Since(since) >= patience {
			stop(fmt.Errorf("it neither computed nor read nor wrote anything for %s, and was ended", patience))
			return
		}
	}
}

// work is what the programs of a group have done so far, in a form that changes when they do more. A program
// that somebody has stopped does not change, but will.
func work(group int) string {
	var b strings.Builder
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		text, _ := os.ReadFile(s)
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest) // from the third field of proc_pid_stat(5) on
		if len(f) < 13 || f[2] != strconv.Itoa(group) {
			continue
		}
		if f[0] == "T" {
			return time.Now().String()
		}
		io, _ := os.ReadFile(filepath.Join(filepath.Dir(s), "io"))
		fmt.Fprintln(&b, s, f[11], f[12], string(io))
	}
	return b.String()
}

// taker counts those who are being written to at the moment.
type taker struct {
	io.Writer
	taking *atomic.Int32
}

// Write writes to whom the program prints for.
func (t taker) Write(p []byte) (int, error) {
	t.taking.Add(1)
	defer t.taking.Add(-1)
	return t.Writer.Write(p)
}
