package liveos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Pack writes an ISO image with these files, by their names, which lie in a scratch directory while it does. Only root can
// read them on the medium.
func Pack(ctx context.Context, scratch string, now time.Time, label string, files map[string]string, w io.Writer) (err error) {
	dir, err := emptyFolder(scratch, "pack")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	for name, text := range files {
		if err := dir.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	path := filepath.Join(scratch, "pack")
	args := []string{"-as", "mkisofs", "-quiet", "-R", "-J", "-V", label, "--set_all_file_dates", fmt.Sprintf("=%d", now.Unix()), "-o", "-", "-graft-points", "/=" + path}
	if err := xorriso(ctx, now, args, w, path); err != nil {
		return err
	}
	for name := range files {
		if err := dir.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
