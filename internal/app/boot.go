package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

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
	AllowBackingFile bool
}

// Boot boots an image in a virtual machine, whose serial console is keyboard and stdout. It returns when
// the guest powers off or the user presses Ctrl-], or, where asked, when the guest asks for a user name.
func Boot(ctx context.Context, o BootOptions, keyboard *os.File, stdout io.Writer) error {
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	m, err := vm.Start(ctx, vm.Options{
		Image: o.ImageFile, Format: format.Name, Firmware: vm.Firmware(o.Firmware),
		MemoryMiB: o.Memory, CPUs: o.CPUs, SSHPort: o.SSHPort, Log: stdout,
	})
	if err != nil {
		return &Failure{Code: ExitHost, Err: err}
	}
	if o.UntilLogin {
		err = untilLogin(ctx, m, o.Timeout)
	} else {
		err = attended(ctx, m, keyboard)
	}
	return errors.Join(err, m.Close())
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
