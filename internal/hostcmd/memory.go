package hostcmd

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// oomKills is how many processes the kernel has ended for want of memory since it started; -1 where it does
// not say.
func oomKills() int64 {
	text, _ := os.ReadFile("/proc/vmstat")
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "oom_kill "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// lackedMemory says in the error of a program whether the kernel ended one for want of memory while it ran.
// That may have been a program that it had started, which it did not say.
func lackedMemory(err error, before, after int64) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch {
	case after > before && before >= 0:
		e.OutOfMemory = " (memory ran out: the kernel ended a program for that meanwhile; give this host, or the run's control group, more)"
	case before < 0 && strings.Contains(e.Err.Error(), "killed"):
		e.OutOfMemory = " (by the kernel, if memory ran out; its log says so)"
	}
	return err
}
