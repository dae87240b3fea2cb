package liveos

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/klauspost/pgzip"

	"imagecustomizer/internal/rootfs"
)

// net writes a folder to boot from over the network, as a tar archive, to the file out: it is what a
// TFTP server serves. With a bootstrap initramfs it holds an ISO image too, which a web server may
// serve.
func (mk *Maker) net(ctx context.Context, st *stage, out string, compressed bool) error {
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if !compressed {
		return errors.Join(mk.archive(ctx, st, file), file.Close())
	}
	// Nearly all of it is compressed already.
	z, err := pgzip.NewWriterLevel(file, pgzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(mk.archive(ctx, st, z), z.Close(), file.Close())
}

// archive writes the archive, with the large file last.
func (mk *Maker) archive(ctx context.Context, st *stage, out io.Writer) error {
	w := tar.NewWriter(out)
	if err := addFolder(ctx, w, st.dir, mk.Now); err != nil {
		return err
	}
	h := &tar.Header{Name: strings.TrimPrefix(st.bigFile(), "/"), Mode: 0o644, ModTime: mk.Now.Truncate(time.Second)}
	if st.iso == nil {
		h.Size = st.payload.size
		return errors.Join(w.WriteHeader(h), st.payload.read(func(r *io.SectionReader) error {
			_, err := io.Copy(w, r)
			return err
		}), w.Close())
	}
	size, err := st.iso.size(ctx, mk.Now)
	h.Size = size
	return errors.Join(err, w.WriteHeader(h), mk.write(ctx, st.iso, w), w.Close())
}

// addFolder adds what is in a folder.
func addFolder(ctx context.Context, w *tar.Writer, dir string, now time.Time) error {
	root, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Walk("/", func(name string, e fs.DirEntry) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		return addToTar(w, root, name, e, now)
	})
}

func addToTar(w *tar.Writer, root *rootfs.Root, name string, e fs.DirEntry, now time.Time) error {
	fi, err := e.Info()
	if err != nil {
		return err
	}
	target := ""
	if fi.Mode()&fs.ModeSymlink != 0 {
		if target, err = root.Readlink(name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(fi, target)
	if err != nil {
		return err
	}
	h.Name, h.ModTime = strings.TrimPrefix(name, "/"), now.Truncate(time.Second)
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := w.WriteHeader(h); err != nil || !fi.Mode().IsRegular() {
		return err
	}
	return root.WithFile(name, func(f *os.File) error {
		_, err := io.Copy(w, f)
		return err
	})
}
