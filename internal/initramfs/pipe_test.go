package initramfs

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// TestPiped has builders that put nothing, or microcode, before what they send through the pipe, and one
// that does not use it.
func TestPiped(t *testing.T) {
	t.Parallel()
	early, main := []byte(archive("microcode", strings.Repeat("m", 5000))), []byte(archive("init", strings.Repeat("system", 50000)))
	for name, c := range map[string]struct{ file, pipe, early []byte }{
		"all through the pipe":     {nil, main, nil},
		"microcode before it":      {early, main, early},
		"nothing through the pipe": {main, nil, nil},
	} {
		dir, to := t.TempDir(), t.TempDir()
		left, err := rootfs.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer left.Close()
		image, err := rootfs.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		done, err := rootfs.New(to)
		if err != nil {
			t.Fatal(err)
		}
		defer done.Close()
		scratch := t.TempDir()
		p := Piped{Left: left, Pipe: "pipe", Name: "made", Done: done, To: "image"}
		err = p.Make(context.Background(), &machine.Machine{Root: image, Scratch: func() (string, error) { return scratch, nil }}, func() error {
			if err := os.WriteFile(filepath.Join(dir, "made"), c.file, 0o600); err != nil {
				return err
			}
			return send(filepath.Join(dir, "pipe"), c.pipe)
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := done.ReadFile("image")
		if err != nil {
			t.Fatal(err)
		}
		rest, found := bytes.CutPrefix(got, c.early)
		gunzip := exec.Command("gzip", "-dc")
		gunzip.Stdin = bytes.NewReader(rest)
		if unpacked, err := gunzip.Output(); !found || err != nil || !bytes.Equal(unpacked, main) {
			t.Errorf("%s: another image comes out: %v", name, err)
		}
	}
}

// send is what dd does.
func send(pipe string, data []byte) error {
	if data == nil {
		return nil
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer w.Close()
	_, err = io.Copy(w, bytes.NewReader(data))
	return err
}
