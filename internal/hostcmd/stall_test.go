package hostcmd

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestWhoGetsNowhereIsStopped(t *testing.T) {
	t.Parallel()
	run := func(progress func() (int64, time.Duration)) bool {
		ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
		defer cancel()
		stalled := false
		UntilStalled(ctx, 200*time.Millisecond, progress, func() { stalled = true })
		return stalled
	}
	var n atomic.Int64
	for name, c := range map[string]struct {
		progress func() (int64, time.Duration)
		want     bool
	}{
		"nothing":    {func() (int64, time.Duration) { return 0, 0 }, true},
		"receives":   {func() (int64, time.Duration) { return n.Add(1), 0 }, false},
		"computes":   {func() (int64, time.Duration) { return 0, time.Duration(n.Add(int64(10 * time.Millisecond))) }, false},
		"only polls": {func() (int64, time.Duration) { return 0, time.Duration(n.Add(1)) }, true},
	} {
		if got := run(c.progress); got != c.want {
			t.Errorf("%s: stopped %v", name, got)
		}
	}
}
