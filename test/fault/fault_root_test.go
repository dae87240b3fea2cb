//go:build root

package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"imagecustomizer/test/fixture"
)

// full tells whether whole matrices run, not samples.
var full = os.Getenv("FULL") != ""

const marker = "IMAGECUSTOMIZER_TEST_IN_MOUNT_NAMESPACE"

// TestMain runs the tests in a mount namespace of their own, so that what they mount goes with them
// even when they are killed.
func TestMain(m *testing.M) {
	if os.Getenv(marker) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), marker+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig means the death of the thread that started the program
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// TestLeaksAreFound plants one of each kind that Leaks looks for.
func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := NewWatch(dir, "kept")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	expect := func(kind string) {
		t.Helper()
		if got := w.Leaks(); len(got) != 1 || !strings.HasPrefix(got[0], kind) {
			t.Errorf("planted a %s, found %q", kind, got)
		}
	}
	if got := w.Leaks(); len(got) > 0 {
		t.Fatalf("planted nothing, found %q", got)
	}
	file := filepath.Join(dir, "planted")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	expect("file")
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(file)
	expect("loop device") // its file has no name any more
	if err := exec.Command("losetup", "-d", strings.TrimSpace(string(out))).Run(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("planted", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	expect("mount")
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	// A process that has left its session, its parent and every trace of the folder.
	l := &Lane{Watch: w, Binary: "true", Wrap: []string{"sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & exit 0"}}
	r, err := l.Start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	expect("process")
	w.KillAll()
	if _, left := w.Settle(10 * time.Second); len(left) > 0 {
		t.Errorf("found what is not there any more: %q", left)
	}
	if err := os.MkdirAll(dir+"/kept", 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(dir+"/kept/package.deb", nil, 0o644)
	if got := w.Leaks(); len(got) > 0 {
		t.Errorf("found what may be there: %q", got)
	}
	os.WriteFile(dir+"/kept/.half", nil, 0o644)
	expect("file")
}

// TestTorture kills and interrupts runs of every scenario. TORTURE=KILLS,INTERRUPTS sets how often
// all together, TORTURE_SEED where, TORTURE_REPORT names a page to write.
func TestTorture(t *testing.T) {
	kills, interrupts := 34, 6
	if s := os.Getenv("TORTURE"); s != "" {
		a, b, _ := strings.Cut(s, ",")
		var err1, err2 error
		kills, err1 = strconv.Atoi(a)
		interrupts, err2 = strconv.Atoi(b)
		if err1 != nil || err2 != nil {
			t.Fatalf("TORTURE=%s: want two numbers, such as 300,50", s)
		}
	}
	seed, _ := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64)
	page := os.Getenv("TORTURE_REPORT")
	if page != "" && !filepath.IsAbs(page) {
		page = filepath.Join(fixture.Root(), page)
	}
	var reports []*Report
	for i, s := range Scenarios {
		share := func(n int) int { return (n + len(Scenarios) - 1 - i) / len(Scenarios) }
		report := &Report{Scenario: s}
		reports = append(reports, report)
		save := func() { // from time to time, since a whole run takes hours
			if page != "" {
				if err := WriteReport(page, reports); err != nil {
					t.Error(err)
				}
			}
		}
		t.Run(s.Name, func(t *testing.T) { torture(t, report, share(kills), share(interrupts), seed, save) })
	}
}

// checkEvery is after how many disturbed runs one is left alone, and measured: what else the machine
// does changes how long a run takes.
const checkEvery = 10

func (p Point) describe(t Timeline) string {
	where := "after the start"
	if p.Step >= 0 {
		where = fmt.Sprintf("into step %d, %s", p.Step+1, t.Steps[p.Step].Name)
	}
	return fmt.Sprintf("%v to %s %v %s", p.Signal, p.Target, p.after(t).Round(time.Millisecond), where)
}

func torture(t *testing.T, report *Report, kills, interrupts int, seed uint64, save func()) {
	l := NewLane(t, report.Scenario)
	base, err := Identify(l.Image)
	if err != nil {
		t.Fatal(err)
	}
	if report.Timeline, err = l.Measure(runLimit); err != nil {
		t.Fatal(err)
	}
	points := Mix(Points(report.Timeline, kills, syscall.SIGKILL, 2*seed+1), Points(report.Timeline, interrupts, syscall.SIGINT, 2*seed+2))
	for i, p := range points {
		o := l.Disturb(p, report.Timeline)
		report.Outcomes = append(report.Outcomes, o)
		t.Logf("%d. %s: exit %d, clean after %v", i+1, p.describe(report.Timeline), o.Status, o.Gone.Round(time.Millisecond))
		for _, problem := range o.Problems {
			t.Errorf("%s: %s", p.describe(report.Timeline), problem)
		}
		if err := base.Unchanged(); err != nil {
			t.Fatalf("%s: %v", p.describe(report.Timeline), err)
		}
		if o.Ended || i%checkEvery == checkEvery-1 || i == len(points)-1 {
			report.Whole++
			report.Timeline = succeed(t, l)
			save()
		}
	}
	if err := base.Same(); err != nil {
		t.Error(err)
	}
}

// succeed does a run that nobody disturbs, in the folder of those that were.
func succeed(t *testing.T, l *Lane) Timeline {
	t.Helper()
	if err := l.Clear(); err != nil {
		t.Fatal(err)
	}
	timeline, err := l.Measure(runLimit)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Complete(); err != nil || n != len(l.Outputs()) {
		t.Fatalf("%d outputs: %v", n, err)
	}
	if _, left := l.Settle(0); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return timeline
}
