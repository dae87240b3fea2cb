package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitor is the line to QEMU itself, in its machine protocol (QMP), and the file that pictures go to.
type monitor struct {
	line    *os.File
	path    string // of the picture, as QEMU names it
	picture *os.File
}

// newMonitor makes the line, and the arguments that tell QEMU of it.
func newMonitor(files *handed) (*monitor, []string, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the line to QEMU: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "monitor")
	m := &monitor{line: os.NewFile(uintptr(pair[0]), "monitor")}
	files.add(theirs)
	fd := 2 + len(*files)
	f, err := scratch()
	if err != nil {
		return nil, nil, errors.Join(err, m.line.Close())
	}
	if m.picture, err = again(f); err != nil {
		return nil, nil, errors.Join(err, f.Close(), m.line.Close())
	}
	m.path = files.add(f)
	return m, []string{"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", fd), "-mon", "chardev=monitor,mode=control"}, nil
}

func (m *monitor) close() {
	if m != nil {
		_, _ = m.line.Close(), m.picture.Close()
	}
}

// monitorTime bounds one exchange with QEMU.
const monitorTime = 10 * time.Second

// Screenshot returns the display as a PNG. It may be asked for once, of a machine that was started with Picture.
func (m *Machine) Screenshot(context.Context) ([]byte, error) {
	if m.monitor == nil {
		return nil, errors.New("the machine was started without a line to QEMU")
	}
	if err := m.monitor.line.SetDeadline(time.Now().Add(monitorTime)); err != nil {
		return nil, err
	}
	in := bufio.NewScanner(m.monitor.line)
	for _, command := range []string{
		`{"execute": "qmp_capabilities", "id": 1}`,
		fmt.Sprintf(`{"execute": "screendump", "arguments": {"filename": %q, "format": "png"}, "id": 2}`, m.monitor.path),
	} {
		if err := m.monitor.execute(in, command); err != nil {
			return nil, err
		}
	}
	const largest = 32 << 20
	return io.ReadAll(io.LimitReader(m.monitor.picture, largest))
}

// execute gives one command and waits for its answer, past greeting and events.
func (m *monitor) execute(in *bufio.Scanner, command string) error {
	if _, err := io.WriteString(m.line, command+"\n"); err != nil {
		return err
	}
	for in.Scan() {
		var answer struct {
			ID    int
			Error *struct{ Desc string }
		}
		if err := json.Unmarshal(in.Bytes(), &answer); err != nil {
			return err
		}
		if answer.Error != nil {
			return fmt.Errorf("QEMU: %s", answer.Error.Desc)
		}
		if answer.ID != 0 {
			return nil
		}
	}
	return errors.Join(in.Err(), errors.New("QEMU does not answer"))
}
