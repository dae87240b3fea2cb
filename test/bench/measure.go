package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// usage is what one run took.
type usage struct {
	wall     time.Duration
	cpu      time.Duration // user and system, of all processes
	read     int64         // bytes of read and copy_file_range calls, all processes
	written  int64         // bytes of write and copy_file_range calls, all processes
	space    int64         // bytes of the program's files without a name besides the largest, the working disk: sum of the peaks
	memory   int64         // bytes: the largest sum, at one moment, of the peaks so far of the program's own processes; 0 for the script
	programs int           // successful execve calls; counted in a run of its own
}

// measure runs a command once. The kernel adds what a process did to its parent when it is reaped, so
// the difference of our own counters is what the whole run did.
func measure(ctx context.Context, c *hostcmd.Cmd) (u usage, err error) {
	before, start := counters(), time.Now()
	peaks := watch(ctx, "bin/imagecustomizer")
	err = c.Run(ctx)
	u.wall = time.Since(start)
	u.memory, u.space = peaks()
	after := counters()
	u.cpu, u.read, u.written = after.cpu-before.cpu, after.read-before.read, after.written-before.written
	return u, err
}

// counters are those of this process and all that it has reaped.
func counters() (u usage) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r) == nil {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	text, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "rchar":
			u.read = n
		case "wchar":
			u.written = n
		}
	}
	return u
}

// watch looks at the peak memory (VmHWM) of the program's processes that are alive, and at their files
// without a name, until the returned function is called.
func watch(ctx context.Context, program string) func() (memory, space int64) {
	ctx, stop := context.WithCancel(ctx)
	program, _ = filepath.Abs(program)
	files := map[uint64]int64{}
	var memory, space int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			alive := int64(0)
			for _, d := range dirs {
				if exe, _ := os.Readlink(d + "/exe"); exe == program {
					alive += highWater(d)
					nameless(d, files)
				}
			}
			memory = max(memory, alive)
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() (int64, int64) {
		stop()
		wg.Wait()
		largest := int64(0)
		for _, n := range files {
			space, largest = space+n, max(largest, n)
		}
		return memory, space - largest
	}
}

// nameless notes how much the files without a name take up that a process has open.
func nameless(dir string, files map[uint64]int64) {
	fds, _ := filepath.Glob(dir + "/fd/*")
	for _, fd := range fds {
		var st syscall.Stat_t
		if syscall.Stat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG && st.Nlink == 0 {
			files[st.Ino] = max(files[st.Ino], st.Blocks*512)
		}
	}
}

func highWater(dir string) int64 {
	text, _ := os.ReadFile(dir + "/status")
	if !strings.Contains(string(text), "\nThreads:\t1\n") { // a re-exec step on its way to another program has one thread or is gone
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
				return n << 10
			}
		}
	}
	return 0
}

// countPrograms runs a command once more, under strace, and counts the programs it starts.
func countPrograms(ctx context.Context, c *hostcmd.Cmd, dir string) (int, error) {
	trace := filepath.Join(dir, "execve")
	traced := hostcmd.Unconfined("a test", "strace", append([]string{"-f", "--seccomp-bpf", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", trace, c.Path}, c.Args...)...)
	traced.Env = c.Env
	if err := traced.Run(ctx); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		return 0, err
	}
	n := strings.Count(string(text), " = 0\n")
	if n == 0 {
		return 0, fmt.Errorf("strace saw no program start")
	}
	return n, nil
}
