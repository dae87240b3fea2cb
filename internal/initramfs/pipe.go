package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// Piped is an initramfs image that is compressed while a builder of the image makes it.
type Piped struct {
	Left *rootfs.Root // folder that the builder sees
	Pipe string       // in it: the pipe that takes what the builder would compress
	Name string       // in it: the file that the builder makes, with what comes before that
	Done *rootfs.Root // folder that the builder does not see
	To   string       // in it: the finished image
}

// patience is how long a pipe may stay open after its builder has ended.
const patience = time.Minute

// Make makes the image in the format that the image's builders are set to, or that its own images have. A
// builder that does not use the pipe leaves the whole image in its file.
func (p Piped) Make(ctx context.Context, m *machine.Machine, build func() error) (err error) {
	r, w, err := p.Left.MakePipe(p.Pipe)
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close() // kept open by us, for the pipe not to end before it begins
	tail, err := p.Done.Create(p.To+".tail", 0o644)
	if err != nil {
		return err
	}
	defer tail.Close()
	defer func() { err = errors.Join(err, p.Done.Remove(p.To+".tail")) }()
	packed := make(chan error)
	c := &counter{Reader: r}
	go func() {
		err := compress(ctx, m, wanted(m), tail, c)
		_, drained := io.Copy(io.Discard, r) // the builder must not wait for us
		packed <- errors.Join(err, drained)
	}()
	err = build()
	err = errors.Join(r.SetReadDeadline(time.Now().Add(patience)), w.Close(), <-packed, err)
	if err != nil {
		return err
	}
	if c.n == 0 {
		return p.recompress(ctx, m)
	}
	return p.join(tail)
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// recompress compresses the whole image that the builder has left.
func (p Piped) recompress(ctx context.Context, m *machine.Machine) error {
	image, err := p.Left.Open(p.Name, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(recompressFile(ctx, m, image, wanted(m), nil), image.Close()); err != nil {
		return fmt.Errorf("compress it: %w", err)
	}
	return Take(p.Left, p.Name, p.Done, p.To)
}

// join puts what came through the pipe behind what the builder has left, such as microcode.
func (p Piped) join(tail *os.File) error {
	early, err := p.Left.Open(p.Name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer early.Close()
	fi, err := early.Stat()
	if err != nil {
		return err
	}
	if fi.Size() == 0 {
		return p.Done.Rename(p.To+".tail", p.To)
	}
	image, err := p.Done.Create(p.To, 0o644)
	if err != nil {
		return err
	}
	if _, err := tail.Seek(0, io.SeekStart); err != nil {
		return errors.Join(err, image.Close())
	}
	_, err = io.Copy(image, io.MultiReader(early, tail))
	return errors.Join(err, image.Close(), p.Left.Remove(p.Name))
}

// Take moves a file that a program of the image has left in a folder of ours to a place that the image does
// not see.
func Take(left *rootfs.Root, name string, done *rootfs.Root, to string) error {
	if err := done.RenameFrom(left, name, to); err != nil {
		return err
	}
	fi, err := done.Lstat(to)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s is no file", name), done.RemoveAll(to))
	}
	return done.Chmod(to, 0o644)
}
