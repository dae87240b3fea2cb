package app

import (
	"fmt"
	"log/slog"

	"imagecustomizer/internal/failure"

	"golang.org/x/sys/unix"
)

// witness is what an input file looked like before it was read. A file that is written to meanwhile is read
// half old, half new, and nothing in the image need show it.
type witness struct {
	path string
	st   unix.Stat_t
}

func witnessOf(path string) (w witness, err error) {
	w.path = path
	if err := unix.Stat(path, &w.st); err != nil {
		return w, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// unchanged fails where the file is another, or has other content, than before. A change of owner, mode or
// number of names alone is worth a warning: the content may be as it was.
func (w witness) unchanged() error {
	now, err := witnessOf(w.path)
	if err != nil {
		return &failure.Failure{Code: failure.Failed, Err: fmt.Errorf("the base image went away while it was read: %w", err)}
	}
	a, b := w.st, now.st
	switch {
	case a.Dev != b.Dev || a.Ino != b.Ino:
		return w.failure("another file has taken its name")
	case a.Size != b.Size:
		return w.failure(fmt.Sprintf("it had %d bytes and has %d now", a.Size, b.Size))
	case a.Mtim != b.Mtim:
		return w.failure("it was written to")
	case a.Ctim != b.Ctim:
		slog.Warn("owner, mode or names of the base image changed while it was read", "file", w.path)
	}
	return nil
}

func (w witness) failure(how string) error {
	return &failure.Failure{
		Code: failure.Failed, Err: fmt.Errorf("the base image %s changed while it was read: %s", w.path, how),
		Hint: "run again when nobody writes to it; no output was written",
	}
}
