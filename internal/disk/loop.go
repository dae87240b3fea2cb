package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Loop is a loop device with a file behind it. The kernel detaches it when the last descriptor of
// it closes, so it cannot outlive the worker.
type Loop struct {
	Number int
	dev    *os.File
	backed *os.File    // the file behind it
	file   unix.Stat_t // of that file
	name   string      // of it, as the kernel knows it
	view   bool        // it only reads
}

// busyTries bounds how often attaching is tried again while other programs race for free devices.
const busyTries = 64

// AttachLoop attaches a file to a free loop device. nodes is a folder where the device's node is
// made; sector is its logical block size in bytes. The file's page cache is used, not direct I/O:
// what was just copied into the file is still there.
func AttachLoop(file *os.File, nodes string, sector int) (*Loop, error) {
	if l, err := filled(&reserved, file, sector); l != nil || err != nil {
		return l, err
	}
	return attachLoop(file, nodes, sector, Partition{})
}

// AttachView is AttachLoop for a device that only reads, whoever opens it. What is written by another device
// of the same file is seen when it has got to the file.
func AttachView(file *os.File, nodes string, sector int) (*Loop, error) {
	if l, err := filled(&views, file, sector); l != nil || err != nil {
		return l, err
	}
	return attachView(file, nodes, sector, Partition{})
}

// AttachPartView is AttachView for the part of the file in which a partition lies.
func AttachPartView(file *os.File, nodes string, sector int, p Partition) (*Loop, error) {
	return attachView(file, nodes, sector, p)
}

// attachView attaches the file as opened once more, for reading only: the kernel lets nobody change that.
func attachView(file *os.File, nodes string, sector int, part Partition) (*Loop, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return nil, err
	}
	defer f.Close() // the device has its own
	l, err := attachLoop(f, nodes, sector, part)
	if err != nil {
		return nil, err
	}
	l.view, l.backed = true, file
	return l, nil
}

// AttachPart is AttachLoop for the part of the file in which a partition lies: a substitute for
// AddPartitions.
func AttachPart(file *os.File, nodes string, sector int, p Partition) (*Loop, error) {
	return attachLoop(file, nodes, sector, p)
}

// reserved and views are the loop devices of files that were attached while they were empty.
var reserved, views sync.Map // *os.File to *Loop

// Reserve attaches an empty file, for AttachLoop and AttachView to find it attached when it is filled. Attaching
// has the kernel write back what it holds of a file (since Linux 6.14): of one that was just filled all, which
// takes long, and for nothing if the file is to have no name. release detaches what was not taken.
func Reserve(file *os.File, nodes string) (release func() error, err error) {
	release = func() error { return errors.Join(drop(&views, file), drop(&reserved, file)) }
	l, err := attachLoop(file, nodes, 512, Partition{})
	if err != nil {
		return nil, err
	}
	reserved.Store(file, l)
	view, err := attachView(file, nodes, 512, Partition{})
	if err != nil {
		return nil, errors.Join(err, release())
	}
	views.Store(file, view)
	return release, nil
}

func drop(from *sync.Map, file *os.File) error {
	if l, there := from.LoadAndDelete(file); there {
		return l.(*Loop).Detach()
	}
	return nil
}

// filled returns the loop device that was reserved for a file, nil if none was, with the size the
// file has now.
func filled(from *sync.Map, file *os.File, sector int) (*Loop, error) {
	found, ok := from.LoadAndDelete(file)
	if !ok {
		return nil, nil
	}
	l := found.(*Loop)
	err := l.check()
	if err == nil && sector != 512 {
		err = unix.IoctlSetInt(int(l.dev.Fd()), unix.LOOP_SET_BLOCK_SIZE, sector)
	}
	if err == nil {
		err = unix.IoctlSetInt(int(l.dev.Fd()), unix.LOOP_SET_CAPACITY, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tell loop%d what its file has become: %w", l.Number, err), l.Detach())
	}
	return l, nil
}

func attachLoop(file *os.File, nodes string, sector int, part Partition) (*Loop, error) {
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
		l, err := configure(n, file, nodes, sector, part)
		if err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENXIO) { // taken, or removed
			return l, err
		}
	}
	return nil, fmt.Errorf("every loop device was taken by somebody else, %d times", busyTries)
}

func configure(n int, file *os.File, nodes string, sector int, part Partition) (*Loop, error) {
	l := &Loop{Number: n, backed: file}
	if err := unix.Fstat(int(file.Fd()), &l.file); err != nil {
		return nil, err
	}
	node := filepath.Join(nodes, fmt.Sprintf("loop%d", n))
	number, err := l.DeviceNumber()
	if err != nil {
		return nil, err
	}
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(number)); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("make node of loop device: %w", err)
	}
	if l.dev, err = os.OpenFile(node, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	cfg := unix.LoopConfig{Fd: uint32(file.Fd()), Size: uint32(sector)}
	cfg.Info.Flags = unix.LO_FLAGS_AUTOCLEAR // and read-only, where the file was opened so
	cfg.Info.Offset, cfg.Info.Sizelimit = uint64(part.Start), uint64(part.Size)
	if part.Size == 0 {
		cfg.Info.Flags |= unix.LO_FLAGS_PARTSCAN
	}
	if err := unix.IoctlLoopConfigure(int(l.dev.Fd()), &cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("attach loop%d: %w", n, err), l.dev.Close())
	}
	if l.name, err = l.backing(); err != nil {
		return nil, errors.Join(err, l.dev.Close())
	}
	return l, nil
}

// sys is the path of an attribute of the device, or of a partition of it, in sysfs.
func (l *Loop) sys(attribute string) string {
	return fmt.Sprintf("/sys/class/block/loop%d/%s", l.Number, attribute)
}

// backing names the file behind the device, whose-ever it is.
func (l *Loop) backing() (string, error) {
	name, err := os.ReadFile(l.sys("loop/backing_file"))
	return string(name), err
}

// Node is the path of the device's node.
func (l *Loop) Node() string { return l.dev.Name() }

// Sync writes what was written to the device to its file. It does not write the file to a disk, but
// fails where the kernel tried and could not.
func (l *Loop) Sync() error {
	if err := flush(l.dev); err != nil {
		return err
	}
	return CheckWritten(l.backed)
}

// flush writes what was written to a block device, and forgets all that is known of its content.
func flush(dev *os.File) error {
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("flush %s: %w", dev.Name(), err)
	}
	return nil
}

// Forget makes the kernel forget what it knows of the content of a block device whose file has been changed.
// Where nobody has the device open it knows nothing; udev may have.
func Forget(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	return errors.Join(flush(f), f.Close())
}

// CheckWritten fails where the kernel could not write some of what was written to a file since it was
// opened, or since the last such failure. What it has not tried to write yet it does not write.
func CheckWritten(f *os.File) error {
	err := unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	if err == nil || errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return fmt.Errorf("some data of the working disk could not be written, and is lost: %w", err)
}

// DeviceNumber is the number of the whole device.
func (l *Loop) DeviceNumber() (uint64, error) { return sysNumber(l.sys("dev")) }

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

// sysSectors reads a file of sysfs that counts sectors of 512 bytes, and returns bytes.
func sysSectors(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 54)
	return n * 512, err
}

// ErrNoPartitions says that partitions of loop devices are out of reach here: a container may be
// allowed loop devices (block devices of major number 7), but not those of their partitions, whose
// major number is 259.
var ErrNoPartitions = errors.New("devices of partitions may not be used here")

// AddPartitions makes the kernel know the table's partitions, where it did not find them itself,
// and returns the device number of each by partition number. It may fail with ErrNoPartitions.
func (l *Loop) AddPartitions(t *Table) (map[int]uint64, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	numbers := map[int]uint64{}
	for _, p := range t.Partitions {
		n, err := l.addPartition(p)
		if err != nil {
			return nil, fmt.Errorf("partition %d of loop%d: %w", p.Number, l.Number, err)
		}
		if err := l.mayOpen(n); err != nil {
			return nil, err
		}
		numbers[p.Number] = n
	}
	return numbers, nil
}

// mayOpen tries to open a device.
func (l *Loop) mayOpen(number uint64) error {
	node := l.Node() + "-partition"
	err := unix.Mknod(node, unix.S_IFBLK|0o600, int(number))
	if err == nil {
		defer os.Remove(node)
		var f *os.File
		if f, err = os.OpenFile(node, os.O_RDWR, 0); err == nil {
			return f.Close()
		}
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		err = fmt.Errorf("%w: %w", ErrNoPartitions, err)
	}
	return err
}

// addPartition adds one partition. The kernel, or a daemon of the host, may do the same meanwhile;
// whoever did it, what is there in the end must be the partition of the table.
func (l *Loop) addPartition(p Partition) (uint64, error) {
	dir := l.sys(fmt.Sprintf("loop%dp%d/", l.Number, p.Number))
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := l.blkpg(unix.BLKPG_ADD_PARTITION, p); err != nil && !errors.Is(err, unix.EBUSY) {
			return 0, err
		}
	}
	start, err1 := sysSectors(dir + "start")
	size, err2 := sysSectors(dir + "size")
	number, err3 := sysNumber(dir + "dev")
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	if start != p.Start || size != p.Size {
		return 0, fmt.Errorf("the kernel sees it at byte %d with %d bytes, the image's table says %d with %d", start, size, p.Start, p.Size)
	}
	return number, nil
}

// blkpgPartition is struct blkpg_partition of linux/blkpg.h.
type blkpgPartition struct {
	start  int64 // bytes
	length int64 // bytes
	number int32
	_      [64 + 64]byte // names, which the kernel ignores
	_      [4]byte
}

// ResizePartition tells the kernel that a partition it knows has another size now.
func (l *Loop) ResizePartition(p Partition) error {
	if err := l.check(); err != nil {
		return err
	}
	return l.blkpg(unix.BLKPG_RESIZE_PARTITION, p)
}

func (l *Loop) blkpg(op int32, p Partition) error {
	part := blkpgPartition{start: p.Start, length: p.Size, number: int32(p.Number)}
	arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, l.dev.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return fmt.Errorf("BLKPG operation %d: %w", op, errno)
	}
	return nil
}

// check makes sure that the device still has our file behind it: a program of the host may have
// detached it and attached another.
func (l *Loop) check() error {
	info, err := unix.IoctlLoopGetStatus64(int(l.dev.Fd()))
	if err != nil {
		return fmt.Errorf("loop%d was detached by another program: %w", l.Number, err)
	}
	if info.Inode != l.file.Ino || info.Device != l.file.Dev {
		return fmt.Errorf("another program attached another file to loop%d", l.Number)
	}
	return nil
}

// detachWait is how long a detached device may take to be gone; the last users of it are exiting.
const detachWait = 5 * time.Second

// Detach writes back what the kernel still holds, detaches the file and sees that it is detached.
func (l *Loop) Detach() error {
	if err := l.clear(); err != nil {
		return errors.Join(err, l.dev.Close())
	}
	if err := l.dev.Close(); err != nil {
		return err
	}
	for end := time.Now().Add(detachWait); ; time.Sleep(2 * time.Millisecond) {
		name, err := l.backing()
		switch {
		case errors.Is(err, os.ErrNotExist), name != l.name: // gone, or somebody else's by now
			return nil
		case time.Now().After(end):
			return fmt.Errorf("loop%d is still in use %v after it was detached", l.Number, detachWait)
		}
	}
}

func (l *Loop) clear() error {
	if err := l.check(); err != nil {
		return err
	}
	if !l.view {
		if err := l.Sync(); err != nil {
			return err
		}
	}
	if err := unix.IoctlSetInt(int(l.dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
		return fmt.Errorf("detach loop%d: %w", l.Number, err)
	}
	return nil
}
