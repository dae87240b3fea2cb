package vm

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// State is what machines of one image leave to each other: the changed disk, and the variables of UEFI. Its files have
// no name.
type State struct {
	disk, vars *os.File // nil until the first machine
}

// Close forgets it, after its machines.
func (s *State) Close() error {
	var errs []error
	for _, f := range []*os.File{s.disk, s.vars} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// overlay returns how -drive names the file that takes what the guest writes.
func (s *State) overlay(ctx context.Context, files *handed, image, driver string, reads []string) (string, error) {
	if s.disk != nil {
		f, err := again(s.disk)
		return "format=qcow2,cache=unsafe,file=" + files.add(f) + backing(image, driver), err
	}
	f, err := scratch()
	if err != nil {
		return "", err
	}
	s.disk = f
	mine, err := again(f)
	if err != nil {
		return "", err
	}
	return files.overlayIn(ctx, mine, image, driver, "unsafe", reads)
}

// variables returns how -drive names the variables of the firmware, which begin as a copy of a file. Without a state
// they are for one machine.
func (s *State) variables(files *handed, empty string) (string, error) {
	if s == nil {
		return files.copyOf(empty)
	}
	if s.vars == nil {
		from, err := os.Open(empty)
		if err != nil {
			return "", err
		}
		defer from.Close()
		if s.vars, err = scratch(); err != nil {
			return "", err
		}
		if _, err := io.Copy(s.vars, from); err != nil {
			return "", err
		}
	}
	f, err := again(s.vars)
	return "format=raw,cache=unsafe,file=" + files.add(f), err
}

// again is another descriptor of an open file, for a machine that closes it.
func again(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), syscall.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// secondSerial are the arguments for a serial port that only the guest writes to.
func secondSerial(files *handed, to io.Writer) ([]string, error) {
	if to == nil {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	path := files.add(w)
	go func() {
		_, _ = io.Copy(to, r) // until QEMU has ended, and w is closed here too
		_ = r.Close()
	}()
	return []string{"-chardev", "file,id=report,path=" + path, "-serial", "chardev:report"}, nil
}
