package pkgmgr

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// Unheard is how long a package manager may wait for servers that send nothing while it reads indexes. No script of a
// package runs then, so there is nothing else to wait for. What it says does not count: apt reports each of its many tries.
var Unheard = 45 * time.Second

// Receiving runs f, which reads indexes into the session's folder, and ends it where no server sends anything.
func (s *Session) Receiving(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go hostcmd.UntilStalled(ctx, Unheard, func() (int64, time.Duration) { return received(s.Dir), hostcmd.Computed() }, func() {
		cancel(fmt.Errorf("no server of packages has sent anything for %s", Unheard))
	})
	return f(ctx)
}

// received is how much the files below a folder hold.
func received(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			n += fi.Size()
		}
		return nil
	})
	return n
}
