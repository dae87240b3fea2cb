package app

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// fix prepares a run whose outputs depend on nothing but its inputs: programs take the time of the run from the
// environment (reproducible-builds.org, e2fsprogs), and all of them share one processor and write at once, since where
// ext4 places small files depends on the processor that writes them out, and on the order.
func (w *worker) fix() error {
	now := strconv.FormatInt(w.job.Now.Unix(), 10)
	hostcmd.HostEnv = append(hostcmd.HostEnv, "SOURCE_DATE_EPOCH="+now, "E2FSPROGS_FAKE_TIME="+now, "E2FSCK_TIME="+now)
	hostcmd.DefaultEnv = append(hostcmd.DefaultEnv, "SOURCE_DATE_EPOCH="+now)
	disk.WriteAtOnce = true
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	w.processors = all
	for cpu := range len(all) * 64 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	return setProcessors(&one)
}

// auxCache is what ldconfig remembers of libraries by their times and inodes. It makes it anew where it is missing.
const auxCache = "/var/cache/ldconfig/aux-cache"

// setProcessors says where the threads of this process, and the programs they start, may run.
func setProcessors(set *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("choose a processor: %w", err)
		}
	}
	return nil
}

// settle gives all that the run wrote the time of the run. From here on all processors may work again.
func (w *worker) settle(ctx context.Context) error {
	if err := setProcessors(&w.processors); err != nil {
		return err
	}
	return w.machine.Opened().Settle(ctx, w.began, w.job.Now, nil)
}
