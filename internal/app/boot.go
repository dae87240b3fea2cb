package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/vm"
)

// BootOptions are the flags of the boot command.
type BootOptions struct {
	ImageFile        string
	UntilLogin       bool // end when the guest asks for a user name
	Timeout          time.Duration
	Firmware         string // uefi or bios; empty means what the image asks for
	Memory           int    // MiB
	CPUs             int
	SSHPort          int
	As               string // disk, cd or usb; empty means what the format is for
	Keep             string // new file for what the guest writes; empty means that it is forgotten
	AllowBackingFile bool
}

// Boot boots an image in a virtual machine, whose serial console is keyboard and stdout. It returns when
// the guest powers off or the user presses Ctrl-], or, where asked, when the guest asks for a user name.
func Boot(ctx context.Context, o BootOptions, keyboard *os.File, stdout io.Writer) error {
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	if o.Keep != "" && (o.As == "cd" || o.As == "" && format.Name == "iso") {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("--keep: a CD is never written; with --as usb the image is a stick, which is")}
	}
	if format.Odd {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("QEMU cannot read a VHDX with sectors of 4096 bytes; convert it to raw and boot that")}
	}
	if _, err := os.Lstat(o.Keep); o.Keep != "" && err == nil {
		return &failure.Failure{Code: failure.Usage, Err: fmt.Errorf("--keep %s: this file exists; name a new one", o.Keep)}
	}
	const least = 32 // MiB, less than which no firmware starts with
	if o.Memory < least || o.CPUs < 1 || o.CPUs > 255 {
		return &failure.Failure{Code: failure.Usage, Err: fmt.Errorf("--memory %d --cpus %d: a guest needs %d MiB of memory at least, and 1 to 255 processors", o.Memory, o.CPUs, least)}
	}
	m, err := vm.Start(ctx, vm.Options{
		Drive: vm.Drive(o.As), Keep: o.Keep,
		Image: o.ImageFile, Format: format.Name, Backing: format.Backing, Firmware: vm.Firmware(o.Firmware),
		MemoryMiB: o.Memory, CPUs: o.CPUs, SSHPort: o.SSHPort, Log: stdout,
	})
	if err != nil {
		return &failure.Failure{Code: failure.Host, Err: err}
	}
	if o.UntilLogin {
		err = untilLogin(ctx, m, o.Timeout)
	} else {
		err = attended(ctx, m, keyboard)
	}
	err = errors.Join(err, m.Close())
	if errors.Is(err, context.Canceled) {
		return &failure.Failure{Code: failure.Interrupted, Err: errors.New("interrupted")}
	}
	return err
}

func untilLogin(ctx context.Context, m *vm.Machine, timeout time.Duration) error {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the guest did not ask for a user name within %s", timeout))
	defer cancel()
	return m.WaitLogin(limited)
}

// attended connects the keyboard. On a terminal every key goes to the guest, Ctrl-C too.
func attended(ctx context.Context, m *vm.Machine, keyboard *os.File) error {
	if fd := int(keyboard.Fd()); term.IsTerminal(fd) {
		fmt.Fprintln(os.Stderr, "Ctrl-] ends the virtual machine.")
		before, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(fd, before) }()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if err := m.Type(keyboard); !errors.Is(err, io.EOF) { // without a keyboard the guest still runs
			cancel(errDetached)
		}
	}()
	if err := m.Wait(ctx); !errors.Is(err, errDetached) {
		return err
	}
	return nil
}

// errDetached is why an attended boot ends: the user has seen enough.
var errDetached = errors.New("detached")
