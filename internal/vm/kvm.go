package vm

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// trialTime bounds the trial boot; where KVM works it takes a fraction of one.
const trialTime = 5 * time.Second

// bootSector is a program for the BIOS that writes 0x2a to port 0xf4, where QEMU's isa-debug-exit
// device ends QEMU with the status 2*0x2a+1. finit stands for what a kernel does early and a KVM
// that emulates the firmware's code does not know.
var bootSector = []byte{
	0x9b, 0xdb, 0xe3, // finit
	0xb0, 0x2a, // mov al, 0x2a
	0xba, 0xf4, 0x00, // mov dx, 0xf4
	0xee,       // out dx, al
	0xf4,       // hlt
	0xeb, 0xfd, // jmp to hlt
}

const bootSectorExit = 2*0x2a + 1

var kvm struct {
	sync.Mutex
	tried, works bool
}

// kvmWorks tells whether this host can boot with KVM, found by doing it once per process: /dev/kvm
// also exists where nested virtualization is broken.
func kvmWorks(ctx context.Context) bool {
	kvm.Lock()
	defer kvm.Unlock()
	if kvm.tried {
		return kvm.works
	}
	works := trialBoot(ctx, "kvm", "host")
	if ctx.Err() == nil { // a cancelled trial tells nothing
		kvm.tried, kvm.works = true, works
	}
	slog.Debug("trial boot with KVM", "works", works)
	return works
}

// HasKVM tells whether guests run with KVM on this host.
func HasKVM(ctx context.Context) bool { return hostcmd.Installed(qemu) && kvmWorks(ctx) }

// trialBoot tells whether QEMU gets from the firmware into a boot sector with this accelerator.
func trialBoot(ctx context.Context, accel, cpu string) bool {
	tmp, err := scratch()
	if err != nil {
		return false
	}
	defer tmp.Close()
	sector := append(bytes.Clone(bootSector), make([]byte, 512-len(bootSector))...)
	sector[510], sector[511] = 0x55, 0xaa
	if _, err := tmp.Write(sector); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	cmd := hostcmd.Unconfined(notFenced, qemu, append(slices.Clone(sandbox), "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "32",
		"-accel", accel, "-cpu", cpu, "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-drive", "if=ide,format=raw,file=/proc/self/fd/3")...)
	cmd.ExtraFiles, cmd.Quiet = []*os.File{tmp}, true
	cmd.OnLine = func(line string) {
		if strings.HasPrefix(line, "KVM internal error") { // QEMU stays, with the guest paused
			cancel()
		}
	}
	return hostcmd.ExitStatus(cmd.Run(ctx)) == bootSectorExit
}
