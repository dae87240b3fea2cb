package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/ui"
)

// tryWorker has a worker try what every run needs.
func tryWorker(ctx context.Context) job.Abilities {
	res, err := runWorker(ctx, &job.Job{Kind: job.Examine}, func(ui.Event) {})
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), sandbox.SetUpFailed+" ")
		return job.Abilities{Worker: reason, Loop: "not tried without a worker", Partitions: "not tried without a worker"}
	}
	return *res.Host
}

// examine is the worker's part of tryWorker.
func examine() *job.Abilities {
	h := &job.Abilities{}
	const size = 4 << 20
	file, err := os.CreateTemp(sandbox.Work+"/tmp", "examine-")
	if err == nil {
		defer file.Close()
		err = file.Truncate(size)
	}
	var loop *disk.Loop
	if err == nil {
		loop, err = disk.AttachLoop(file, "/dev", 512)
	}
	if err != nil {
		h.Loop, h.Partitions = err.Error(), "not tried without a loop device"
		return h
	}
	table := &disk.Table{SectorSize: 512, Partitions: []disk.Partition{{Number: 1, Start: 1 << 20, Size: 1 << 20}}}
	if _, err := loop.AddPartitions(table); err != nil {
		h.Partitions = err.Error()
	}
	if err := loop.Detach(); err != nil {
		h.Loop = err.Error()
	}
	return h
}

// confinement is what the kernel says about how this process is confined.
type confinement struct {
	status string // /proc/self/status
	label  string // /proc/self/attr/current, of AppArmor or SELinux
	uidMap string // /proc/self/uid_map
}

func ownConfinement() confinement {
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return strings.TrimRight(string(text), "\x00\n")
	}
	return confinement{read("/proc/self/status"), read("/proc/self/attr/current"), read("/proc/self/uid_map")}
}

// neededCapabilities are those a run cannot do without; docs/containers.md has the same list.
var neededCapabilities = []struct {
	name   string
	number uint
}{
	{"CHOWN", unix.CAP_CHOWN},
	{"DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE},
	{"FOWNER", unix.CAP_FOWNER},
	{"FSETID", unix.CAP_FSETID},
	{"KILL", unix.CAP_KILL},
	{"MKNOD", unix.CAP_MKNOD},
	{"SETFCAP", unix.CAP_SETFCAP},
	{"SETGID", unix.CAP_SETGID},
	{"SETPCAP", unix.CAP_SETPCAP},
	{"SETUID", unix.CAP_SETUID},
	{"SYS_ADMIN", unix.CAP_SYS_ADMIN},
	{"SYS_CHROOT", unix.CAP_SYS_CHROOT},
}

// missingCapabilities are the flags that give a container the needed capabilities it lacks; effective
// is a line of /proc/self/status.
func missingCapabilities(effective string) (flags []string) {
	have, err := strconv.ParseUint(effective, 16, 64)
	for _, n := range neededCapabilities {
		if err == nil && have&(1<<n.number) == 0 {
			flags = append(flags, "--cap-add "+n.name)
		}
	}
	return flags
}

// fields are the lines of /proc/self/status.
func (c confinement) fields() map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(c.status) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}

// advice says what in a container's confinement keeps runs from working, and which flag changes it.
func (c confinement) advice() (list []string) {
	if f := strings.Fields(c.uidMap); len(f) == 3 && f[2] != "4294967295" {
		return []string{"this is a user namespace, such as that of a rootless container, where the kernel lets nobody attach loop devices: start the container as the host's root"}
	}
	fields := c.fields()
	if fields["Uid"] != "" && !strings.Contains("\t"+fields["Uid"], "\t0\t") {
		return []string{"run it as root (sudo)"}
	}
	if missing := missingCapabilities(fields["CapEff"]); len(missing) > 0 {
		list = append(list, "capabilities are missing: "+strings.Join(missing, " "))
	}
	profile, mode, _ := strings.Cut(c.label, " ")
	switch {
	case mode == "(enforce)":
		list = append(list, fmt.Sprintf("the AppArmor profile %s is in force; that of containers denies every mount: --security-opt apparmor=unconfined", profile))
	case strings.Contains(c.label, ":container_t:"):
		list = append(list, "SELinux confines this container as container_t: --security-opt label=disable")
	}
	if fields["Seccomp"] == "2" {
		list = append(list, "a system call filter is in force; that of Docker and Podman denies pivot_root: --security-opt seccomp=unconfined")
	}
	return list
}

// runWorker has a worker on this host do the job. It returns when everything the worker started has ended.
func runWorker(ctx context.Context, j *job.Job, report func(ui.Event)) (*job.Result, error) {
	if os.Geteuid() != 0 {
		return nil, &failure.Failure{Code: failure.Host, Err: errors.New("root is needed for mounts and loop devices"), Hint: hostHint()}
	}
	res, err := job.Run(ctx, job.Pipe{}, j, report)
	if res == nil && err != nil && failure.Of(err).Code == failure.Host {
		err = &failure.Failure{Hint: hostHint(), Err: err}
	}
	if err == nil && !j.DryRun {
		err = j.CheckWritten(res)
	}
	return res, err
}

// hostHint is what to do where a worker cannot start.
func hostHint() string {
	if os.Geteuid() != 0 {
		return "run it as root, with sudo"
	}
	advice := ownConfinement().advice()
	if len(advice) == 0 {
		return "\"imagecustomizer doctor\" says what this host lacks"
	}
	return "in a container, add what is named here, or --privileged: " + strings.Join(advice, "; ")
}
