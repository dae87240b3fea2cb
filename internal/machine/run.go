package machine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// Stall is how long a program of the image may get nowhere: nothing said, nothing computed, and, where something is to
// arrive, nothing received. A link, a FIFO or a silent server can make any of them wait for ever.
var Stall = 5 * time.Minute

// Run runs a program of the image inside the image, until it ends or gets nowhere. c.Dir is a path in the image.
func (m *Machine) Run(ctx context.Context, c *hostcmd.Cmd, options ...sandbox.Option) error {
	return m.Watch(ctx, c, func() int64 { return 0 }, options...)
}

// Watch is Run of a program that also makes progress when a count changes.
func (m *Machine) Watch(ctx context.Context, c *hostcmd.Cmd, count func() int64, options ...sandbox.Option) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lines atomic.Int64
	d, said := *c, c.OnLine
	d.OnLine = func(text string) {
		lines.Add(1)
		if said != nil {
			said(text)
		}
	}
	go hostcmd.UntilStalled(ctx, Stall, func() (int64, time.Duration) { return lines.Load() + count(), hostcmd.Computed() }, func() {
		cancel(fmt.Errorf("nothing has happened for %s: a server may be silent, or a program may wait for ever", Stall))
	})
	return m.RunScript(ctx, &d, options...)
}

// RunScript is Run of a script of the config's, which may wait for as long as it likes.
func (m *Machine) RunScript(ctx context.Context, c *hostcmd.Cmd, options ...sandbox.Option) error {
	if m.foreign() {
		return m.Facts.cannotRun(c.String())
	}
	left, err := sandbox.Run(ctx, m.Root.Dir(), c, options...)
	m.left = append(m.left, left...)
	return err
}
