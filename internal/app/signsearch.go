package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/failure"
)

// withoutKeys fails where a file that is to be published has a piece of a private key in it. What a format or a
// filesystem compresses is not looked into; the working disk, of which all is made, is.
func withoutKeys(ctx context.Context, traces [][]byte, files ...*os.File) error {
	for _, f := range files {
		if f == nil || len(traces) == 0 {
			continue
		}
		at, err := find(ctx, f, traces)
		if err != nil {
			return err
		}
		if at >= 0 {
			return &failure.Failure{
				Code: failure.Failed, Err: fmt.Errorf("the image has a private key of signing.keys in it, at byte %d of what was written", at),
				Hint: "a script or additionalFiles put it there: keep keys out of what the config copies",
			}
		}
	}
	return nil
}

// find is where the first of some texts lies in a file; -1 where none does.
func find(ctx context.Context, f *os.File, texts [][]byte) (int64, error) {
	longest := 0
	for _, t := range texts {
		longest = max(longest, len(t))
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	for at := int64(0); at < size; {
		start, end, err := extent.Next(int(f.Fd()), at, size)
		if err != nil {
			return 0, err
		}
		if found, err := findIn(ctx, f, start, end, texts, longest); err != nil || found >= 0 {
			return found, err
		}
		at = end
	}
	return -1, nil
}

// findIn is find between two offsets. Parts that are read overlap, since a text may lie across two.
func findIn(ctx context.Context, f *os.File, at, end int64, texts [][]byte, longest int) (int64, error) {
	buffer := make([]byte, 4<<20)
	for ; at < end; at += int64(len(buffer) - longest) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		part := buffer[:min(int64(len(buffer)), end-at)]
		if _, err := f.ReadAt(part, at); err != nil {
			return 0, err
		}
		for _, t := range texts {
			if i := bytes.Index(part, t); i >= 0 {
				return at + int64(i), nil
			}
		}
	}
	return -1, nil
}
