package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Kind is what a file of an image is read as. It bounds what is read into memory, since a file of an image
// may be as large as its filesystem allows.
type Kind struct {
	name  string
	limit int64 // bytes
	line  int   // bytes of a line, where it has any
}

// The kinds. Text is what programs generate for one machine, or whatever else is text; a setting is written by people. The
// largest index of kernel modules that a distribution has is less than 2 MiB, with lines of some kilobytes.
var (
	Text         = Kind{"a text file", 16 << 20, 1 << 20}
	Setting      = Kind{"a configuration file", 1 << 20, 64 << 10}
	Menu         = Kind{"a boot menu", 4 << 20, 64 << 10}
	Index        = Kind{"an index of kernel modules", 4 << 20, 64 << 10}
	Library      = Kind{"a library", 16 << 20, 0}
	Program      = Kind{"a program", 128 << 20, 0}
	UnifiedImage = Kind{"a unified kernel image", 640 << 20, 0} // a kernel with an initramfs of 512 MiB
)

// maxEntries bounds how many names of a folder are read.
const maxEntries = 1 << 18

// ReadFile returns the content of a text file.
func (r *Root) ReadFile(name string) ([]byte, error) { return r.ReadAs(Text, name) }

// ReadAs returns a file's content, if it is no larger than a file of that kind may be.
func (r *Root) ReadAs(k Kind, name string) ([]byte, error) {
	f, err := r.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := k.Read(f)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// Read reads a file to its end, if it is no larger than one of this kind may be.
func (k Kind) Read(f *os.File) ([]byte, error) {
	if fi, err := f.Stat(); err == nil && fi.Size() > k.limit {
		return nil, k.tooLarge()
	}
	data, err := io.ReadAll(io.LimitReader(f, k.limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > k.limit {
		return nil, k.tooLarge()
	}
	return data, k.checkLines(data)
}

func (k Kind) tooLarge() error {
	return fmt.Errorf("it has more than the %d MiB that %s may have", k.limit>>20, k.name)
}

func (k Kind) checkLines(data []byte) error {
	for k.line > 0 && len(data) > k.line {
		end := bytes.LastIndexByte(data[:k.line+1], '\n')
		if end < 0 {
			return fmt.Errorf("it has a line of more than the %d KiB that one of %s may have", k.line>>10, k.name)
		}
		data = data[end+1:]
	}
	return nil
}

// readNames lists an open folder.
func readNames(f *os.File, limit int) ([]fs.DirEntry, error) {
	list, err := f.ReadDir(limit + 1)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if len(list) > limit {
		err = &fs.PathError{Op: "list", Path: f.Name(), Err: fmt.Errorf("the folder has more than %d entries", limit)}
	}
	return list, err
}
