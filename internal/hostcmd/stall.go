package hostcmd

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// UntilStalled calls stalled when, for some time, the count has not changed and not even a hundredth of the
// time was computed in.
func UntilStalled(ctx context.Context, limit time.Duration, progress func() (count int64, cpu time.Duration), stalled func()) {
	var count int64
	var cpu time.Duration
	since := time.Now() // what there is already counts as progress when it is first looked at
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

// Computed is how much processor time the processes of this namespace have used, but for this one.
func Computed() (all time.Duration) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err != nil || pid == os.Getpid() || pid == 1 {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		_, rest, is := strings.Cut(string(text), ") ") // after the name
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
