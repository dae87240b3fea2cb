//go:build root

package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// withDisk runs a script in a root that has a disk, whose filesystem is mounted at some places of it before it is
// entered. The first word is the disk's file, the second the places, divided by commas.
func withDisk(root string, words []string) (out string, err error) {
	file, err := os.Open(words[0])
	if err != nil {
		return "", err
	}
	nodes := sandbox.Work + "/nodes"
	if err := os.Mkdir(nodes, 0o755); err != nil {
		return "", err
	}
	l, err := disk.AttachView(file, nodes, 512)
	if err != nil {
		return "", err
	}
	defer l.Detach()
	number, err := l.DeviceNumber()
	if err != nil {
		return "", err
	}
	for at := range strings.SplitSeq(words[1], ",") {
		if at != "-" {
			defer func() { _ = unix.Unmount(filepath.Join(root, at), unix.MNT_DETACH) }()
			if err := unix.Mount(l.Node(), filepath.Join(root, at), "ext4", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "noload"); err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
		}
	}
	r, err := rootfs.New(root)
	if err != nil {
		return "", err
	}
	image, err := sandbox.EnterImage(r, map[string]uint64{"vda": number}, nil)
	if err != nil {
		return "", err
	}
	if err := image.Bind("/usr", "/usr", true); err != nil {
		return "", err
	}
	var b strings.Builder
	c := hostcmd.New("sh", "-c", strings.Join(words[2:], " "))
	c.Stdout, c.Stderr = &b, &b
	if _, err := sandbox.Run(context.Background(), root, c); err != nil {
		fmt.Fprintln(&b, "error", err)
	}
	return b.String(), image.Leave()
}

// smallDisk makes a file with a filesystem that holds a setuid program, and folders to mount on.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if text, err := exec.Command("sh", "-ec", `mkdir "$1/tree" && cp /usr/bin/id "$1/tree/id" && chmod 4755 "$1/tree/id" &&
		mkfs.ext4 -q -d "$1/tree" "$1/disk" 8M`, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return dir + "/disk"
}

// TestOfSysOnlyTheDiskIsSeen: what is below /sys is that of the image's disk, and of no other device of the host.
func TestOfSysOnlyTheDiskIsSeen(t *testing.T) {
	t.Parallel()
	file := smallDisk(t)
	for script, want := range map[string]string{
		"find /sys -name backing_file -o -name address -o -name dmi -o -name modalias -o -name '*.efi'; echo none": "none\n",
		"ls /sys/class /sys/module /sys/bus /sys/firmware /sys/kernel":                                             "/sys/bus:\n\n/sys/class:\nblock\nnet\n\n/sys/firmware:\n\n/sys/kernel:\n\n/sys/module:\nfirmware_class\n",
		"ls /sys/block /sys/class/block /sys/dev/block | grep -vc -e : -e '^$'; ls /sys/dev/block | wc -l":         "2\n1\n",
		"cat /sys/dev/block/$(printf '%d:%d' 0x$(stat -c %t /dev/vda) 0x$(stat -c %T /dev/vda))/size":              "16384\n",
		"lsblk -bno SIZE /dev/vda": "8388608\n",
		"grep -lrs " + filepath.Base(filepath.Dir(file)) + " /sys; echo none":                                                             "none\n",
		"find /sys -writable; for f in new block/$(ls /sys/block)/uevent; do (echo 1 > /sys/$f) 2>&1 | grep -o Read-only; done":           "Read-only\nRead-only\n",
		"cat /proc/partitions /proc/diskstats /proc/modules /proc/iomem 2>/dev/null; find /proc/bus /proc/driver -mindepth 1 2>/dev/null": "",
		"nproc >/dev/null && getconf _NPROCESSORS_CONF | grep -c .":                                                                       "1\n",
	} {
		got := ask(t, sandbox.Spec{}, "disk "+emptyImage(t)+" "+file+" - "+script)
		if got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// TestFilesystemsBelowOurs: a filesystem of the image that lies where we mount, or below that, is covered. Programs run
// all the same, and setuid programs in what covers it do not count.
func TestFilesystemsBelowOurs(t *testing.T) {
	t.Parallel()
	file := smallDisk(t)
	for _, at := range []string{"tmp", "run/a", "dev/a", "tmp/deep/er", "sys/a", "proc/a", "etc", "tmp,tmp/lost+found", "dev,run,tmp,sys,proc"} {
		root := emptyImage(t)
		for dir := range strings.SplitSeq(at, ",") {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		const script = ` grep -E ' /(etc|tmp|run|dev) ' /proc/self/mountinfo | grep -v nosuid | cut -d' ' -f5 | tail -1; echo runs`
		want := "runs\n"
		if strings.HasPrefix(at, "etc") {
			want = "/etc\nruns\n"
		}
		if got := ask(t, sandbox.Spec{}, "disk "+root+" "+file+" "+at+script); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

// forge sends a signal to process 1 that says it came from the kernel.
const forge = `perl -e 'for (1..64) { next if $_ == 9; syscall(129, 1, $_, pack("i3x116", $_, 0, -6)); kill $_, 1 }'; `

// TestProcess1 cannot be harmed, has nothing, and is missed when it goes.
func TestProcess1(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		forge + "sleep 0.2; echo alive; exit 3": "alive\nleft [] error",
		forge + forge + "exit 0":                "",
		"grep -h -e CapPrm -e CapEff -e CapInh /proc/1/task/*/status | sort -u | cut -f2": "0000000000000000\n",
		"grep -h -e CapPrm -e CapEff /proc/self/status | sort -u | cut -f2":               "00000000880407fb\n",
		"held touch /tmp/x; chown 1 /tmp/x; stat -c %u /tmp/x":                            "1\n",
		": first 9 ; sleep 5; exit 0":                                                     "the process that watches over it was ended before it (signal: killed)",
		": first 11 ; sleep 1; echo alive":                                                "alive\n",
		": first 15 ; sleep 1; echo alive":                                                "alive\n",
	} {
		got := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" "+script)
		if !strings.Contains(got, want) || want == "" && got != "" || strings.HasPrefix(script, forge) && strings.Contains(got, "watches over it") {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// TestSocketsAreFew tries every family, type and many protocols: what is not listed is refused, by whatever call.
func TestSocketsAreFew(t *testing.T) {
	t.Parallel()
	const script = `perl -MSocket -e 'for my $f (0..46) { for my $t (1..10) { for my $p (0..25, 33, 50, 58, 103, 115, 132, 136, 253, 255, 256, 262) {
		for my $flags (0, 02000000) { if (socket(my $s, $f, $t|$flags, $p)) { $seen{"$f $t $p"} = 1; close $s } } } } } print join(",", sort keys %seen), "\n"'`
	got := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" "+strings.ReplaceAll(script, "\n\t", " "))
	want := "1 1 0,1 1 1,1 2 0,1 2 1,1 3 0,1 3 1,1 5 0,1 5 1,10 1 0,10 1 6,10 2 0,10 2 17,16 2 0,16 3 0,2 1 0,2 1 6,2 2 0,2 2 17\n"
	for _, ping := range []string{"10 2 58,", "2 2 1,"} { // which the kernel allows to groups that it is told
		got = strings.Replace(got, ping, "", 1)
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// endFirst sends a signal from outside to the process 1 of a program's namespaces.
func endFirst(sig unix.Signal) {
	killWhere(0, func(cmdline string) bool { return strings.HasPrefix(cmdline, "sleep\x00") })
	killWhere(sig, func(cmdline string) bool { return strings.Contains(cmdline, "\x00__exec\x00") })
}
