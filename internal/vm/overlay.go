package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/tempfile"
)

// handed are the files that QEMU gets as open descriptors. They have no name, so that none is left
// when everything is killed: the overlay that QEMU makes itself has one for a moment.
type handed []*os.File

// add returns the path by which QEMU opens the file.
func (h *handed) add(f *os.File) string {
	*h = append(*h, f)
	return fmt.Sprintf("/proc/self/fd/%d", 2+len(*h))
}

func (h handed) close() {
	for _, f := range h {
		_ = f.Close()
	}
}

// overlay returns how -drive names a file that takes what the guest writes to an image.
func (h *handed) overlay(ctx context.Context, image, driver string, reads []string) (string, error) {
	f, err := scratch()
	if err != nil {
		return "", err
	}
	return h.overlayIn(ctx, f, image, driver, "unsafe", reads)
}

// keptOverlay is overlay in a new file that stays.
func (h *handed) keptOverlay(ctx context.Context, file, image, driver string, reads []string) (string, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("make a file for the guest's changes: %w", err)
	}
	drive, err := h.overlayIn(ctx, f, image, driver, "writeback", reads)
	if err != nil {
		return "", errors.Join(err, os.Remove(file))
	}
	return drive, nil
}

func (h *handed) overlayIn(ctx context.Context, f *os.File, image, driver, cache string, reads []string) (string, error) {
	path := h.add(f)
	image, err := filepath.Abs(image) // a relative one would be relative to the overlay
	if err != nil {
		return "", err
	}
	create := hostcmd.New("qemu-img", "create", "-q", "-f", "qcow2", "-F", driver, "-b", image, "/proc/self/fd/3").Reading(reads...)
	create.ExtraFiles = []*os.File{f}
	if err := create.Run(ctx); err != nil {
		return "", fmt.Errorf("make an overlay of %s: %w", image, err)
	}
	return "format=qcow2,cache=" + cache + ",file=" + path + backing(image, driver), nil
}

// backing tells QEMU again what an overlay is of, where that is an open file: the overlay has its number in qemu-img.
func backing(image, driver string) string {
	if !strings.HasPrefix(image, "/proc/") {
		return ""
	}
	return ",backing.driver=" + driver + ",backing.file.driver=file,backing.file.filename=" + escape(image)
}

// copyOf returns how -drive names a copy of a small file.
func (h *handed) copyOf(name string) (string, error) {
	from, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer from.Close()
	f, err := scratch()
	if err != nil {
		return "", err
	}
	path := h.add(f)
	if _, err := io.Copy(f, from); err != nil {
		return "", fmt.Errorf("copy %s: %w", name, err)
	}
	return "format=raw,cache=unsafe,file=" + path, nil
}

// scratch makes a file without a name, like QEMU in a folder that is seldom in memory.
func scratch() (*os.File, error) {
	dir := os.Getenv("TMPDIR")
	if dir == "" {
		dir = "/var/tmp"
	}
	return tempfile.Scratch(dir)
}
