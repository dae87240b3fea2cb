//go:build root

package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// TestMain lets the test binary be started as its own worker, and as a supervisor to be killed.
func TestMain(m *testing.M) {
	if status, ok := sandbox.Main(worker); ok {
		os.Exit(status)
	}
	if len(os.Args) > 1 && os.Args[1] == "supervisor" {
		supervise()
		return
	}
	os.Exit(m.Run())
}

// worker does what the first line of its input asks for and answers on out.
func worker(in, out *os.File) int {
	line, _ := bufio.NewReader(in).ReadString('\n')
	answer, err := answerTo(strings.Fields(line))
	if err != nil {
		answer = "error: " + err.Error()
	}
	_ = json.NewEncoder(out).Encode(answer)
	if strings.HasPrefix(line, "hang") {
		time.Sleep(time.Hour)
	}
	return 0
}

func answerTo(words []string) (string, error) {
	switch words[0] {
	case "write":
		return "written", os.WriteFile(words[1], []byte("x"), 0o644)
	case "file":
		_, err := sandbox.File(0).WriteString("from the worker")
		return "written", err
	case "hang":
		dir := sandbox.Work + "/marker"
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		if err := unix.Mount("marker", dir, "tmpfs", 0, ""); err != nil {
			return "", err
		}
		go func() { _ = hostcmd.Unconfined("a test", "sleep", "4242").Run(context.Background()) }()
		time.Sleep(300 * time.Millisecond)
		return "hanging", nil
	case "image":
		return runInImage(words[1], strings.Join(words[2:], " "))
	case "disk":
		return withDisk(words[1], words[2:])
	case "view":
		return lookAtView(words[1])
	}
	return "", fmt.Errorf("unknown request %q", words)
}

// runInImage runs a shell command in a root made of the host's own /usr.
func runInImage(root, script string) (out string, err error) {
	r, err := rootfs.New(root)
	if err != nil {
		return "", err
	}
	image, err := sandbox.EnterImage(r, nil, map[string]string{"disk/by-uuid/abcd": "../../null"})
	if err != nil {
		return "", err
	}
	if err := image.Bind("/usr", "/usr", true); err != nil {
		return "", err
	}
	script, alone := strings.CutPrefix(script, "alone ")
	var options []sandbox.Option
	if alone {
		options = append(options, sandbox.NoNetwork)
	}
	c := hostcmd.New("sh", "-c", script)
	if program, ok := strings.CutPrefix(script, "itself "); ok {
		c = hostcmd.New(program, "boot", "disk.raw")
	}
	if victim, ok := strings.CutPrefix(script, ": from outside "); ok {
		go killFromOutside("sleep\x00" + victim[:4])
	}
	if rest, ok := strings.CutPrefix(script, ": first "); ok {
		number, _ := strconv.Atoi(strings.Fields(rest)[0])
		go endFirst(unix.Signal(number))
	}
	if rest, ok := strings.CutPrefix(script, "held "); ok { // as in a container without new privileges
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return "", err
		}
		c = hostcmd.New("sh", "-c", rest)
	}
	var b strings.Builder
	c.Stdout, c.Stderr = &b, &b
	left, err := sandbox.Run(context.Background(), root, c, options...)
	if len(left) > 0 || err != nil {
		fmt.Fprintln(&b, "left", left, "error", err)
	}
	return b.String(), image.Leave()
}

// killFromOutside ends a process that begins so, once it runs, as the kernel does for want of memory.
func killFromOutside(begin string) {
	killWhere(unix.SIGKILL, func(cmdline string) bool { return strings.HasPrefix(cmdline, begin) })
}

// killWhere signals the first process whose command line is so, once it runs.
func killWhere(sig unix.Signal, found func(cmdline string) bool) {
	for range 500 {
		time.Sleep(10 * time.Millisecond)
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, l := range lines {
			if data, _ := os.ReadFile(l); found(string(data)) {
				pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
				_ = unix.Kill(pid, sig)
				return
			}
		}
	}
}

// lookAtView lists the folders of an image with a filesystem at /etc, in a view of it.
func lookAtView(root string) (out string, err error) {
	if err := unix.Mount("own", filepath.Join(root, "etc"), "tmpfs", 0, ""); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/file"), nil, 0o644); err != nil {
		return "", err
	}
	r, err := rootfs.New(root)
	if err != nil {
		return "", err
	}
	image, err := sandbox.EnterImage(r, nil, nil)
	if err != nil {
		return "", err
	}
	view := sandbox.Work + "/view"
	err = errors.Join(os.Mkdir(view, 0o755), image.Bind("/usr", "/usr", true), image.WithView(view, func() error {
		for _, dir := range []string{"dev", "etc", "proc", "tmp", "usr"} {
			seen, _ := os.ReadDir(filepath.Join(view, dir))
			entered, _ := os.ReadDir(filepath.Join(root, dir))
			out += fmt.Sprintf("%s %d %t ", dir, len(seen), len(entered) > len(seen))
		}
		out += fmt.Sprint(errors.Is(os.WriteFile(view+"/etc/new", nil, 0o644), unix.EROFS))
		return nil
	}))
	if left, _ := os.ReadDir(view); len(left) > 0 {
		err = errors.Join(err, errors.New("the view is still there"))
	}
	return out, errors.Join(err, image.Leave())
}

// ask starts a worker with this request and returns its answer.
func ask(t *testing.T, spec sandbox.Spec, request string) string {
	t.Helper()
	p, err := sandbox.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(p.In, request)
	data, _ := io.ReadAll(p.Out)
	if err := p.Wait(); err != nil {
		t.Errorf("worker: %v", err)
	}
	var answer string
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("answer %q: %v", data, err)
	}
	return answer
}

func TestHostIsReadOnlyButForWhatIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := ask(t, sandbox.Spec{}, "write "+dir+"/f"); !strings.Contains(got, "read-only") {
		t.Errorf("the worker could write to the host: %s", got)
	}
	spec := sandbox.Spec{Writable: map[string]string{"out": dir}}
	if got := ask(t, spec, "write "+sandbox.Writable("out")+"/f"); got != "written" {
		t.Error(got)
	}
	if _, err := os.Stat(dir + "/f"); err != nil {
		t.Error(err)
	}
}

func TestInheritedFile(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, sandbox.Spec{Files: []*os.File{f}}, "file")
	if got, _ := os.ReadFile(f.Name()); string(got) != "from the worker" {
		t.Errorf("got %q", got)
	}
}

// emptyImage makes a root folder with merged /usr, on which /usr of the host is mounted.
func emptyImage(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, d := range []string{"dev", "proc", "sys", "run", "tmp", "usr", "etc"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.Symlink("usr/"+l, filepath.Join(root, l)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestProgramsInImageAreConfined(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"mount -t tmpfs x /tmp":                              "denied",
		"unshare --user --map-root-user true":                "not permitted",
		"ls /proc/1/root/":                                   "denied",
		"sleep 4243 & sleep 0.1; echo $$":                    "left [sleep]",
		"kill -11 $$":                                        "signal: segmentation fault",
		"chroot / ls /etc /.mic 2>&1; ls -A /etc":            "/.mic",
		"echo > /dev/tty":                                    "No such device",
		"ulimit -c":                                          "0",
		"echo 1 > /proc/sys/kernel/panic":                    "Read-only",
		"mknod /dev/evil b 7 0":                              "Read-only",
		"echo PID $$; sync; readlink /dev/disk/by-uuid/abcd": "../../null",
		"hostname changed 2>&1; hostname":                    "must be root",
		"uname -n; cat /proc/sys/kernel/domainname":          "localhost\n\n",
		"echo $HOME $PATH":                                   "/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	} {
		if got := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" "+script); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", script, got, want)
		}
	}
}

// TestKilledFromOutsideIsNoticed: whoever waits for the program may not look, and its own kills are its own affair.
func TestKilledFromOutsideIsNoticed(t *testing.T) {
	t.Parallel()
	for script, noticed := range map[string]bool{
		": from outside 4246; sleep 4246; true":                             true,
		": from outside 4247; (sleep 4247; true) | cat":                     true,
		": from outside 4248; setsid sh -c 'sleep 4248; exit 0'; true":      true,
		"sleep 4249 & kill -9 $!; wait; true":                               false,
		"timeout -s KILL 0.1 sleep 4250; true":                              false,
		"sh -c 'kill -9 $$'; true":                                          false,
		"setsid sh -c 'sleep 4251 & kill -KILL 0'; true":                    false,
		"sleep 4252 & kill $!; wait; sh -c 'kill -SEGV $$'; true":           false,
		"perl -e 'syscall(157,1,9); exec \"sleep\",\"0\"'; sleep 0.1; true": false,
		": from outside 4253; kill -9 999999; sleep 4253; true":             true,
		"perl -e 'syscall(157,38,9); 0' ; : from outside; true":             false,
	} {
		got := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" "+script)
		if strings.Contains(got, "killed from outside") != noticed {
			t.Errorf("%s: %q, noticed should be %t", script, got, noticed)
		}
	}
}

// TestImageDoesNotStartUs: the program's own file is no program of the image, by whatever name, nor is it
// changed through one.
func TestImageDoesNotStartUs(t *testing.T) {
	t.Parallel()
	root := emptyImage(t)
	if err := errors.Join(os.Symlink("/proc/self/exe", root+"/etc/link"), os.WriteFile(root+"/etc/script", []byte("#!/proc/self/exe boot\n"), 0o755),
		os.WriteFile(root+"/etc/thread", []byte("#!/proc/thread-self/exe\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "script", "thread"} {
		if got := ask(t, sandbox.Spec{}, "image "+root+" itself /etc/"+name); !strings.Contains(got, "permission denied") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestOnlyTheImageIsMounted: nothing of the worker's root may be reachable, by whatever way.
func TestOnlyTheImageIsMounted(t *testing.T) {
	t.Parallel()
	out := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" cat /proc/self/mountinfo")
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if top := strings.SplitN(f[4], "/", 3)[1]; !slices.Contains([]string{"", "dev", "proc", "sys", "run", "tmp", "usr"}, top) {
			t.Errorf("the image sees the mount at %s", f[4])
		}
	}
	if !strings.Contains(out, " / / ") && !strings.Contains(out, " /usr ") {
		t.Errorf("no mounts seen: %q", out)
	}
}

// TestViewIsBare: only the image's own filesystems are seen, and not writable.
func TestViewIsBare(t *testing.T) {
	t.Parallel()
	want := "dev 0 true etc 1 false proc 0 false tmp 0 false usr 0 true true"
	if got := ask(t, sandbox.Spec{}, "view "+emptyImage(t)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	const interfaces = " cut -d: -f1 /proc/net/dev"
	host := strings.Count(ask(t, sandbox.Spec{}, "image "+emptyImage(t)+interfaces), "\n")
	alone := ask(t, sandbox.Spec{}, "image "+emptyImage(t)+" alone"+interfaces)
	if !strings.Contains(alone, "lo") || strings.Count(alone, "\n") >= host {
		t.Errorf("%d lines with the host's network, and without %q", host, alone)
	}
}

// supervise starts a worker that hangs, says so, and hangs too.
func supervise() {
	p, err := sandbox.Start(sandbox.Spec{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprintln(p.In, "hang")
	line, _ := bufio.NewReader(p.Out).ReadString('\n')
	fmt.Print(line)
	time.Sleep(time.Hour)
}

func TestNothingSurvivesSIGKILL(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "supervisor")
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.Contains(line, "hanging") || !running("4242") {
		t.Fatalf("the worker did not start: %q", line)
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	for range 50 {
		if !running("4242") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("a process of the worker survived")
}

// running tells whether a process with this argument exists anywhere.
func running(arg string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if data, _ := os.ReadFile(l); strings.HasPrefix(string(data), "sleep\x00"+arg) {
			return true
		}
	}
	return false
}
