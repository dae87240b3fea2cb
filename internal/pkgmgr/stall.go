package pkgmgr

import (
	"context"
	"io/fs"
	"path/filepath"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// Watch is the function of that name, with the session's folder.
func (s *Session) Watch(ctx context.Context, c *hostcmd.Cmd, line func(string)) error {
	return Watch(ctx, s.Machine, c, s.Dir, line)
}

// Watch runs a command of the image, of which line gets every line, until it ends or gets nowhere. What comes into dir
// counts, too. Questions go through it as well: the image may answer them with a program that never ends.
func Watch(ctx context.Context, m *machine.Machine, c *hostcmd.Cmd, dir string, line func(string)) error {
	c.OnLine = line
	return m.Watch(ctx, c, func() int64 { return sizeOf(dir) })
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
