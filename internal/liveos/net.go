package liveos

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/pgzip"
)

// Net writes a folder to boot from over the network, as a tar archive, to the file out: it is what a
// TFTP server serves. With a bootstrap initramfs it holds an ISO image too, which a web server may
// serve.
func (mk *Maker) Net(ctx context.Context, s Spec, out string, compressed bool) error {
	st, err := mk.stage(ctx, s)
	if err != nil {
		return err
	}
	defer os.RemoveAll(st.dir)
	if !s.FullOS {
		medium := s
		medium.Network = false
		if err := mk.ISO(ctx, medium, st.path(s.ISOName)); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := archive(ctx, st.dir, file, compressed, mk.Now); err != nil {
		return err
	}
	return file.Close()
}

func archive(ctx context.Context, dir string, out io.Writer, compressed bool, now time.Time) error {
	if !compressed {
		return writeTar(ctx, dir, out, now)
	}
	// Nearly all of it is compressed already.
	z, err := pgzip.NewWriterLevel(out, pgzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(ctx, dir, z, now), z.Close())
}

func writeTar(ctx context.Context, dir string, out io.Writer, now time.Time) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		return addToTar(w, name, rel, d, now)
	})
	return errors.Join(err, w.Close())
}

func addToTar(w *tar.Writer, name, rel string, d fs.DirEntry, now time.Time) error {
	fi, err := d.Info()
	if err != nil {
		return err
	}
	target := ""
	if fi.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(fi, target)
	if err != nil {
		return err
	}
	h.Name, h.ModTime = rel, now.Truncate(time.Second)
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := w.WriteHeader(h); err != nil || !fi.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
