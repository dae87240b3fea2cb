package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ioctl numbers of the loop and block drivers that x/sys lacks (linux/blkpg.h).
const (
	blkpg             = 0x1269
	blkpgAddPartition = 1
)

// blkpgPartition is struct blkpg_partition of linux/blkpg.h.
type blkpgPartition struct {
	Start   int64 // bytes
	Length  int64 // bytes
	Number  int32
	Devname [64]byte
	Volname [64]byte
	_       [4]byte
}

// blkpgArg is struct blkpg_ioctl_arg of linux/blkpg.h.
type blkpgArg struct {
	Op    int32
	Flags int32
	Len   int32
	_     int32
	Data  unsafe.Pointer
}

// Loop is a loop device with a file behind it. The kernel detaches it when the last descriptor of
// it closes, so it cannot outlive the worker.
type Loop struct {
	Number int
	dev    *os.File
}

// busyTries bounds how often attaching is tried again while other programs race for free devices.
const busyTries = 64

// AttachLoop attaches a file to a free loop device. nodes is a folder where the device's node is
// made; sector is its logical block size in bytes.
func AttachLoop(file *os.File, nodes string, sector int) (*Loop, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("no loop devices on this host (modprobe loop): %w", err)
	}
	defer control.Close()
	for range busyTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		l, err := configure(n, file, nodes, sector)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return l, err
		}
	}
	return nil, fmt.Errorf("every loop device was taken by somebody else, %d times", busyTries)
}

func configure(n int, file *os.File, nodes string, sector int) (*Loop, error) {
	node := filepath.Join(nodes, fmt.Sprintf("loop%d", n))
	number, err := sysNumber(fmt.Sprintf("/sys/class/block/loop%d/dev", n))
	if err != nil {
		return nil, err
	}
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(number)); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make node of loop device: %w", err)
	}
	dev, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	cfg := unix.LoopConfig{Fd: uint32(file.Fd()), Size: uint32(sector)}
	cfg.Info.Flags = unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_PARTSCAN
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("attach loop%d: %w", n, err), dev.Close())
	}
	return &Loop{Number: n, dev: dev}, nil
}

// sysNumber reads a MAJOR:MINOR file of sysfs.
func sysNumber(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	a, b, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	major, err1 := strconv.ParseUint(a, 10, 32)
	minor, err2 := strconv.ParseUint(b, 10, 32)
	return unix.Mkdev(uint32(major), uint32(minor)), errors.Join(err1, err2)
}

// AddPartitions makes the kernel know the table's partitions, where it did not find them itself,
// and returns the device number of each by partition number.
func (l *Loop) AddPartitions(t *Table) (map[int]uint64, error) {
	numbers := map[int]uint64{}
	for _, p := range t.Partitions {
		sys := fmt.Sprintf("/sys/class/block/loop%d/loop%dp%d/dev", l.Number, l.Number, p.Number)
		n, err := sysNumber(sys)
		if errors.Is(err, os.ErrNotExist) {
			if err = l.add(p); err == nil {
				n, err = sysNumber(sys)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("partition %d of loop%d: %w", p.Number, l.Number, err)
		}
		numbers[p.Number] = n
	}
	return numbers, nil
}

func (l *Loop) add(p Partition) error {
	part := blkpgPartition{Start: p.Start, Length: p.Size, Number: int32(p.Number)}
	arg := blkpgArg{Op: blkpgAddPartition, Len: int32(unsafe.Sizeof(part)), Data: unsafe.Pointer(&part)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, l.dev.Fd(), blkpg, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return fmt.Errorf("BLKPG_ADD_PARTITION: %w", errno)
	}
	return nil
}

// Node is the path of the device's node.
func (l *Loop) Node() string { return l.dev.Name() }

// DeviceNumber is the number of the whole device.
func (l *Loop) DeviceNumber() (uint64, error) {
	return sysNumber(fmt.Sprintf("/sys/class/block/loop%d/dev", l.Number))
}

// detachWait is how long a detached device may take to be gone; the last users of it are exiting.
const detachWait = 5 * time.Second

// Detach writes back what the kernel still holds, detaches the file and sees that it is detached.
func (l *Loop) Detach() error {
	defer l.dev.Close()
	if err := l.dev.Sync(); err != nil {
		return fmt.Errorf("flush loop%d: %w", l.Number, err)
	}
	if err := unix.IoctlSetInt(int(l.dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
		return fmt.Errorf("detach loop%d: %w", l.Number, err)
	}
	l.dev.Close()
	for end := time.Now().Add(detachWait); ; time.Sleep(5 * time.Millisecond) {
		_, err := os.Stat(fmt.Sprintf("/sys/class/block/loop%d/loop/backing_file", l.Number))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case time.Now().After(end):
			return fmt.Errorf("loop%d is still in use %v after it was detached", l.Number, detachWait)
		}
	}
}
