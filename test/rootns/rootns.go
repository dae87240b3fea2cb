// Package rootns runs a package's root tests in namespaces of their own, so that no mount, device
// node or process of theirs reaches the machine they run on.
package rootns

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const marker = "IMAGECUSTOMIZER_TEST_IN_NAMESPACE"

// Main is for TestMain: it runs the tests, which m.Run stands for, and returns their exit status.
// They find a /dev like that of the product's worker: private, and without any disk.
func Main(run func() int) int {
	if os.Getenv(marker) == "" {
		return again()
	}
	if err := enter(); err != nil {
		return failed(err)
	}
	return run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "root tests:", err)
	return 1
}

// again starts this test program once more, in new namespaces, and looks for what it left behind.
func again() int {
	tmp, err := os.MkdirTemp("", "root-tests-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), marker+"=1", "TMPDIR="+tmp)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC}
	err = cmd.Run()
	if leaked := loopsBelow(tmp); len(leaked) > 0 {
		return failed(fmt.Errorf("loop devices are still attached: %s", strings.Join(leaked, ", ")))
	}
	if cmd.ProcessState == nil {
		return failed(err)
	}
	return cmd.ProcessState.ExitCode()
}

// loopsBelow lists attached loop devices whose files lie below a folder.
func loopsBelow(dir string) (found []string) {
	files, _ := filepath.Glob("/sys/class/block/loop*/loop/backing_file")
	for _, f := range files {
		if name, _ := os.ReadFile(f); strings.HasPrefix(string(name), dir+"/") {
			found = append(found, strings.Split(f, "/")[4])
		}
	}
	return found
}

// devices are the nodes of the private /dev: name, major and minor number.
var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"loop-control", 10, 237}}

func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("dev", "/dev", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, d := range devices {
		if err := unix.Mknod("/dev/"+d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	return os.Symlink("/proc/self/fd", "/dev/fd")
}
