// Package vm boots a disk image in QEMU, logs in on its serial console and runs commands there. The
// image is never written: all that the guest changes goes to an overlay that has no name. Nothing needs cleaning up, even after SIGKILL: QEMU dies with this process.
package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/hostcmd"
)

const qemu = "qemu-system-x86_64"

// notFenced is why QEMU is started as it is: it needs KVM, sockets for the guest's network, and signals. It fences
// itself in, with what it knows to need.
const notFenced = "QEMU has a filter of its own"

var sandbox = []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// Options says what to boot and how. Image and Format are required.
type Options struct {
	Image     string    // path of the disk image
	Format    string    // its name: one of diskformat.Bootable
	Drive     Drive     // how the image is connected; empty means as a disk, or as a CD for iso
	Firmware  Firmware  // empty means what the image's partition table asks for
	Secure    bool      // the UEFI firmware runs only what Microsoft's keys vouch for (Secure Boot)
	MemoryMiB int       // 0 means 1024
	CPUs      int       // 0 means 2
	SSHPort   int       // port of the host's loopback that leads to the guest's port 22; 0 means none
	Netboot   string    // folder offered by TFTP, of which bootx64.efi is booted over the network; instead of Image
	Data      string    // raw image of a second disk, /dev/vdb; empty means none
	Keep      string    // new qcow2 file that takes what the guest writes, with the image behind it; empty means that it is forgotten
	Backing   bool      // the image refers to further files, as it may
	Log       io.Writer // gets everything the guest prints; may be nil

	State       *State            // takes what the guest writes, for the next machine; nil means that it is forgotten
	Offline     bool              // the guest has no network card
	Credentials map[string]string // that the guest's systemd is handed in the SMBIOS tables, by name (systemd.system-credentials(7))
	Picture     bool              // Screenshot works
	Report      io.Writer         // gets what the guest writes to its second serial port; nil means that it has none
}

// Machine is a running virtual machine. Its methods are for one goroutine at a time, but for Close
// and Console.
type Machine struct {
	*Serial
	stdin   *os.File
	monitor *monitor // nil where nobody asked for it
	cancel  context.CancelFunc
	ended   chan struct{} // closed after err is set
	err     error
}

// errClosed is why QEMU is stopped by Close; it is no failure.
var errClosed = errors.New("the virtual machine was closed")

// Start boots the image. The machine runs until the guest powers off, the context is cancelled or
// Close is called. The guest has a network card, but reaches nothing outside itself; one that boots over
// the network reaches this host, as 10.0.2.2.
func Start(ctx context.Context, o Options) (*Machine, error) {
	driver, ok := diskformat.Driver(o.Format)
	if !ok && o.Netboot == "" {
		return nil, fmt.Errorf("cannot boot format %q: use %s", o.Format, diskformat.Bootable())
	}
	if !hostcmd.Installed(qemu) {
		return nil, errors.New(qemu + " is not installed on this host: apt-get install qemu-system-x86 qemu-utils")
	}
	disk, err := o.probe(ctx, driver)
	if err != nil {
		return nil, err
	}
	if o.Firmware != "" {
		disk.firmware = o.Firmware
	}
	var files handed
	args, err := o.args(ctx, &files, driver, disk)
	if err != nil {
		files.close()
		return nil, err
	}
	return start(ctx, args, files, o)
}

// probe finds out how the image is booted.
func (o Options) probe(ctx context.Context, driver string) (disk, error) {
	if o.Netboot != "" {
		return disk{firmware: UEFI}, nil
	}
	return probe(ctx, o.Image, driver, o.files())
}

// files are what has to be readable for the image to be read.
func (o Options) files() []string {
	if o.Backing { // they may be anywhere
		return []string{"/"}
	}
	return []string{o.Image}
}

// args are QEMU's arguments.
func (o Options) args(ctx context.Context, files *handed, driver string, disk disk) ([]string, error) {
	args := o.machine(ctx)
	if o.Netboot == "" {
		drive, err := o.drive(ctx, files, driver)
		if err != nil {
			return nil, err
		}
		args = append(args, "-name", "guest="+escape(o.Image), "-drive", "if=none,id=disk,"+drive, "-device", o.device(disk.sector))
	}
	if o.Data != "" {
		drive, err := files.overlay(ctx, o.Data, "raw", []string{o.Data})
		if err != nil {
			return nil, err
		}
		args = append(args, "-drive", "if=none,id=data,"+drive, "-device", "virtio-blk-pci,drive=data")
	}
	firmware, err := disk.firmware.args(files, o.Secure, o.State)
	if err != nil {
		return nil, err
	}
	handed, err := o.handOver(files)
	return slices.Concat(args, firmware, handed), err
}

// handOver are the arguments for what the guest is given besides its disks.
func (o Options) handOver(files *handed) (args []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(o.Credentials)) {
		f, err := scratch()
		if err != nil {
			return nil, err
		}
		path := files.add(f)
		text := "io.systemd.credential.binary:" + name + "=" + base64.StdEncoding.EncodeToString([]byte(o.Credentials[name]))
		if _, err := f.WriteString(text); err != nil {
			return nil, err
		}
		args = append(args, "-smbios", "type=11,path="+path)
	}
	return args, nil
}

// machine are the arguments but for those of disks and firmware.
func (o Options) machine(ctx context.Context) []string {
	accel, cpu := "tcg,thread=multi", "max"
	if kvmWorks(ctx) {
		accel, cpu = "kvm", "host"
	} else {
		slog.Info("KVM does not work on this host: the guest is emulated, and takes several times longer")
	}
	nic := "user,model=virtio-net-pci"
	if o.Offline {
		nic = "none"
	} else if o.Netboot == "" {
		nic += ",restrict=on"
	} else {
		nic += ",tftp=" + escape(o.Netboot) + ",bootfile=bootx64.efi"
	}
	if o.SSHPort != 0 {
		nic += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:22", o.SSHPort)
	}
	return append(slices.Clone(sandbox),
		"-nodefaults", "-no-user-config", "-display", "none", "-device", "VGA",
		"-machine", "q35,smm="+onOff(o.Secure), "-accel", accel, "-cpu", cpu,
		"-smp", strconv.Itoa(orDefault(o.CPUs, 2)), "-m", strconv.Itoa(orDefault(o.MemoryMiB, 1024)),
		"-device", "qemu-xhci,id=usb", "-device", "virtio-rng-pci", "-nic", nic,
		"-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial")
}

// Drive is a way to connect an image to the machine.
type Drive string

// The drives.
const (
	Disk Drive = "disk" // virtio
	CD   Drive = "cd"   // SATA
	USB  Drive = "usb"  // a stick on USB 3
)

// drive describes the image to QEMU. A CD is never written; all else writes to an overlay.
func (o Options) drive(ctx context.Context, files *handed, driver string) (string, error) {
	if o.connection() == CD {
		return "readonly=on,media=cdrom,format=" + driver + ",file=" + escape(o.Image), nil
	}
	if o.State != nil {
		return o.State.overlay(ctx, files, o.Image, driver, o.files())
	}
	if o.Keep != "" {
		return files.keptOverlay(ctx, o.Keep, o.Image, driver, o.files())
	}
	return files.overlay(ctx, o.Image, driver, o.files())
}

func (o Options) connection() Drive {
	if o.Drive == "" && o.Format == "iso" {
		return CD
	}
	return o.Drive
}

func (o Options) device(sector int) string {
	switch o.connection() {
	case CD:
		return "ide-cd,drive=disk,bootindex=0"
	case USB:
		return "usb-storage,bus=usb.0,drive=disk,bootindex=0,removable=on"
	}
	size := strconv.Itoa(sector)
	return "virtio-blk-pci,drive=disk,bootindex=0,logical_block_size=" + size + ",physical_block_size=" + size
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// start runs QEMU in the background, its serial port on a pipe.
func start(ctx context.Context, args []string, files handed, o Options) (*Machine, error) {
	r, w, err := os.Pipe()
	if err != nil {
		files.close()
		return nil, fmt.Errorf("make the serial console: %w", err)
	}
	second, err := secondSerial(&files, o.Report)
	if err != nil {
		files.close()
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	args = append(args, second...)
	var line *monitor
	if o.Picture {
		var more []string
		if line, more, err = newMonitor(&files); err != nil {
			files.close()
			return nil, errors.Join(err, r.Close(), w.Close())
		}
		args = append(args, more...)
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &Machine{Serial: newSerial(w, o.Log), stdin: w, monitor: line, cancel: cancel, ended: make(chan struct{})}
	cmd := hostcmd.Unconfined(notFenced, qemu, args...)
	cmd.Label, cmd.Quiet = qemu, true
	cmd.Stdin, cmd.Stdout, cmd.ExtraFiles = r, writerFunc(m.receive), files
	go func() {
		m.err = cmd.Run(ctx)
		_ = r.Close()
		files.close()
		close(m.ended)
		m.hangUp(m.err)
	}()
	return m, nil
}

// Shutdown powers the guest off, after Login, and waits until QEMU has ended.
func (m *Machine) Shutdown(ctx context.Context) error {
	if err := m.send("systemctl poweroff --no-block || poweroff"); err != nil {
		return err
	}
	select {
	case <-m.ended:
		return m.err
	case <-ctx.Done():
		return m.failed("power off", context.Cause(ctx))
	}
}

// Wait waits until the guest has powered off.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.ended:
		return m.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Broken is why QEMU ended by itself, without the guest having powered off; nil while it runs.
func (m *Machine) Broken() error {
	select {
	case <-m.ended:
		return m.err
	default:
		return nil
	}
}

// closing bounds how long a QEMU that was told to stop is waited for.
const closing = 15 * time.Second

// Close stops the machine at once, as pulling the plug does, and waits until QEMU is gone.
func (m *Machine) Close() error {
	m.hangUp(errClosed)
	m.cancel()
	defer m.monitor.close()
	defer m.stdin.Close()
	select {
	case <-m.ended:
		return nil
	case <-time.After(closing):
		return errors.New(qemu + " does not end")
	}
}
