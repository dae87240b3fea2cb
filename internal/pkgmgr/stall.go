package pkgmgr

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// Stall is how long a package manager may get nowhere: nothing received, nothing said, nothing computed.
// tdnf waits for a silent server for ever, and its own limit would be one for the whole download.
var Stall = 5 * time.Minute

// Watch is the function of that name, with the session's folder.
func (s *Session) Watch(ctx context.Context, c *hostcmd.Cmd, line func(string)) error {
	return Watch(ctx, s.Machine, c, s.Dir, line)
}

// Watch runs a command of the image, of which line gets every line, until it ends or gets nowhere. What comes into dir
// counts, too. Questions go through it as well: the image may answer them with a program that never ends.
func Watch(ctx context.Context, m *machine.Machine, c *hostcmd.Cmd, dir string, line func(string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lines atomic.Int64
	c.OnLine = func(text string) {
		lines.Add(1)
		line(text)
	}
	go untilStalled(ctx, Stall, func() (int64, time.Duration) { return lines.Load() + sizeOf(dir), computed() }, func() {
		cancel(fmt.Errorf("nothing has happened for %s: a server may be silent, or a script may wait for ever", Stall))
	})
	return m.Run(ctx, c)
}

// untilStalled calls stalled when, for some time, the count has not changed and not even a hundredth of the
// time was computed in.
func untilStalled(ctx context.Context, limit time.Duration, progress func() (count int64, cpu time.Duration), stalled func()) {
	count, cpu := progress()
	since := time.Now()
	tick := time.NewTicker(min(time.Second, limit/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, used := progress()
		waited := time.Since(since)
		switch {
		case n != count, used-cpu > limit/100:
			count, cpu, since = n, used, time.Now()
		case waited > limit:
			stalled()
			return
		}
	}
}

// sizeOf is how much lies below a folder.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			n += fi.Size() + fi.ModTime().UnixNano()%1000
		}
		return nil
	})
	return n
}

// computed is how much processor time the processes of this namespace have used, but for this one.
func computed() (all time.Duration) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == os.Getpid() || pid == 1 {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		_, rest, is := strings.Cut(string(text), ") ") // behind the name
		f := strings.Fields(rest)
		if err != nil || !is || len(f) < 13 {
			continue
		}
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		all += time.Duration(user+system) * (time.Second / 100) // USER_HZ
	}
	return all
}
