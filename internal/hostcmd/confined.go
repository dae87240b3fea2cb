package hostcmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/confine"
)

// capabilities are what programs keep of root's. One that is not here keeps none: it has what it is given as
// open files, or as nodes and folders that belong to root.
var capabilities = map[string][]uintptr{
	// Files of the user who called sudo, in folders that root alone would not get into.
	"qemu-img":     {unix.CAP_DAC_READ_SEARCH},
	"xorriso":      {unix.CAP_DAC_READ_SEARCH},
	"createrepo_c": {unix.CAP_DAC_READ_SEARCH},
	// Files of an image have any owner and mode.
	"mcopy":      {unix.CAP_DAC_READ_SEARCH},
	"mdir":       {unix.CAP_DAC_READ_SEARCH},
	"mksquashfs": {unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_ADMIN}, // which trusted.* attributes are shown to
	"mkfs.erofs": {unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_ADMIN},
	"unsquashfs": {unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD, unix.CAP_SETFCAP, unix.CAP_SYS_ADMIN},
	// What they ask of the kernel is for administrators.
	"btrfs":      {unix.CAP_SYS_ADMIN},
	"xfs_growfs": {unix.CAP_SYS_ADMIN},
}

// Reading lets the program read files, and folders with all in them.
func (c *Cmd) Reading(paths ...string) *Cmd {
	c.Read = append(c.Read, paths...)
	return c
}

// Writing lets the program read and write files, and folders with all in them.
func (c *Cmd) Writing(paths ...string) *Cmd {
	c.Write = append(c.Write, paths...)
	return c
}

// learn has the os package find out what this kernel has for processes, which it does once, before the first
// fence is in the way.
var learn = sync.OnceFunc(func() { _, _ = os.FindProcess(os.Getpid()) })

// runConfined runs the command on a thread of its own, in a fence that the program is born into.
func (c *Cmd) runConfined(cmd *exec.Cmd, stop func(error)) error {
	learn()
	given := len(cmd.ExtraFiles)
	err := handOver(cmd)
	defer func() {
		for _, f := range cmd.ExtraFiles[given:] {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	fence := confine.Fence{Capabilities: capabilities[filepath.Base(c.Path)], Read: c.Read, Write: c.Write}
	for _, f := range cmd.ExtraFiles {
		fence.Files = append(fence.Files, f.Fd())
	}
	var failed error
	if err := confine.Run(fence, func() { failed = c.runWatched(cmd, stop) }); err != nil {
		return fmt.Errorf("fence it in: %w", err)
	}
	return failed
}

// runWatched runs the command, and stops it when it does nothing for long. One that is fed is not watched: it may
// have to wait.
func (c *Cmd) runWatched(cmd *exec.Cmd, stop func(error)) error {
	var taking atomic.Int32
	if _, direct := cmd.Stdout.(*os.File); !direct {
		cmd.Stdout = taker{cmd.Stdout, &taking}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	if c.Stdin == nil {
		go watch(cmd.Process.Pid, &taking, ended, stop)
	}
	return cmd.Wait()
}

// ownFile is how an open file of ours is named to others.
var ownFile = regexp.MustCompile(`/proc/` + strconv.Itoa(os.Getpid()) + `/fd/([0-9]+)`)

// handOver gives the program the open files of ours that its arguments name. With fewer capabilities than we
// have it may not look at ours.
func handOver(cmd *exec.Cmd) error {
	names := map[string]string{}
	var errs []error
	for i, a := range cmd.Args {
		cmd.Args[i] = ownFile.ReplaceAllStringFunc(a, func(name string) string {
			if names[name] == "" {
				fd, _ := strconv.Atoi(ownFile.FindStringSubmatch(name)[1]) // matched
				// A copy: the original has another owner.
				fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
					return name
				}
				names[name] = inherited(len(cmd.ExtraFiles))
				cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), name))
			}
			return names[name]
		})
	}
	return errors.Join(errs...)
}

// inherited is how a program names the i-th of its extra files.
func inherited(i int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+i) }
