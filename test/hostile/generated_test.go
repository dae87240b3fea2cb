//go:build root

package hostile

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"imagecustomizer/test/fault"
	"imagecustomizer/test/fixture"
)

// generated is one hostile image: something in the place of a path, or an impostor in the place of a program.
type generated struct {
	at        string
	what      thing
	behaviour string // of the impostor, if it is one
}

func (g generated) String() string {
	if g.behaviour != "" {
		return "impostor that " + g.behaviour + " at " + g.at
	}
	return g.what.name + " at " + g.at
}

var behaviours = []string{"stays", "escapes", "kills", "rewrites", "babbles", "fails", "dies", "never", "publishes", "races"}

// generate makes all cases of what a run touches.
func generate(run touched, media bool) (list []generated) {
	paths, _ := bundled(run.Paths)
	for _, p := range append(paths, run.Walked...) {
		if strings.HasPrefix(p, "/boot/efi/") {
			continue // FAT has neither links nor devices
		}
		for _, what := range things {
			if media && what.name == huge {
				continue // a medium holds no holes
			}
			list = append(list, generated{at: p, what: what})
		}
	}
	for _, p := range run.Programs {
		for _, b := range behaviours {
			list = append(list, generated{at: p, behaviour: b})
		}
	}
	return list
}

// sampled says whether a case is among the sample, one of so many; to that of make test belongs every impostor.
// Which they are depends on their names only, so that a failure can be repeated.
func (g generated) sampled(oneOf uint32) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.String()))
	return g.behaviour != "" && oneOf == forTest || h.Sum32()%oneOf == 0
}

// oneOf is how many cases there are for each that is tried.
func oneOf(t *testing.T, want string) uint32 {
	t.Helper()
	text := os.Getenv("HOSTILE_ONE_OF")
	switch {
	case text != "":
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 {
			t.Fatalf("HOSTILE_ONE_OF=%q is no number", text)
		}
		return uint32(n)
	case want == "":
		return forTest
	}
	return 1
}

// forTest leaves a dozen or two of paths for make test.
const forTest = 220

// TestGenerated traces runs, and does each of them again with every hostile image that follows from what it
// touched. HOSTILE=all tries everything, HOSTILE="ISO|PXE" those kinds of runs; otherwise it is a sample on a tiny disk.
// HOSTILE_ONE_OF=20 tries one case of twenty. HOSTILE_REPORT names a file for the list of what was traced.
func TestGenerated(t *testing.T) {
	want, tracing := os.Getenv("HOSTILE"), os.Getenv("HOSTILE_TRACE_ONLY") != ""
	impostor := filepath.Join(t.TempDir(), "impostor")
	build(t, impostor, "./impostor", "amd64")
	program := filepath.Join(t.TempDir(), "imagecustomizer") // nobody else builds this one anew
	build(t, program, "../../cmd/imagecustomizer", "amd64")
	for i, k := range kinds {
		if want == "" && i > 0 || want != "" && want != "all" && !slices.Contains(strings.Split(want, "|"), k.Name) {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			if tracing {
				t.Parallel()
			}
			if k.base != nil {
				k.Base = k.base(t)
			}
			run := trace(t, k.Scenario)
			t.Logf("%d paths, programs %v", len(run.Paths), run.Programs)
			report(t, k.Name, run)
			if tracing {
				return
			}
			if !filepath.IsAbs(k.Base) {
				k.Base = fixture.Base(t, k.Base)
			}
			if k.media {
				run = touched{Paths: onMedium(t, k.Base)}
			}
			for _, g := range generate(run, k.media) {
				if g.sampled(oneOf(t, want)) {
					t.Run(g.String(), func(t *testing.T) {
						t.Parallel()
						attackRun(t, k, g, program, impostor)
					})
				}
			}
		})
	}
}

// patience is how long to wait for what an impostor may keep from ending.
func (g generated) patience(k kind) time.Duration {
	if g.behaviour == "never" {
		return 6 * time.Second
	}
	return k.limit() / 4
}

// attackRun does a run with a hostile image. It succeeds or fails with a message, in time, nothing of the host is
// changed, and nothing is left.
func attackRun(t *testing.T, k kind, g generated, program, impostor string) {
	t.Helper()
	h := newHost(t, program)
	image := g.copied(t, k, impostor, h)
	before := h.state(t)
	k.Base = image
	lane := fault.NewLane(t, k.Scenario)
	lane.Binary = program
	base, err := fault.Identify(image)
	if err != nil {
		t.Fatal(err)
	}
	run, err := lane.Start()
	if err != nil {
		t.Fatal(err)
	}
	if g.behaviour != "" { // programs of an image may take as long as they like: the user's patience ends first
		defer time.AfterFunc(g.patience(k), func() { run.Signal(fault.Supervisor, syscall.SIGINT) }).Stop()
	}
	status, err := run.Wait(k.limit())
	if err != nil {
		run.Signal(fault.All, syscall.SIGKILL)
		t.Fatal(err)
	}
	text := run.Text()
	judgeRun(t, status, text, run.Failure())
	if after := h.state(t); after != before {
		t.Errorf("the host was\n%sand is\n%s", before, after)
	}
	if err := base.Unchanged(); err != nil {
		t.Error(err)
	}
	if _, left := lane.Settle(10 * time.Second); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, out := range lane.Outputs() {
		if exec.Command("grep", "-qsF", secret, out).Run() == nil {
			t.Error("the output holds a file of the host")
		}
	}
	t.Logf("status %d: %s", status, run.Failure())
}

// judgeRun looks at how a run ended and at what it printed.
func judgeRun(t *testing.T, status int, text, failure string) {
	t.Helper()
	if status < 0 || status > 128+int(syscall.SIGTERM) || status == 2 && strings.Contains(text, "goroutine ") {
		t.Errorf("status %d\n%s", status, text)
	}
	if status != 0 && strings.TrimSpace(failure) == "" {
		t.Errorf("status %d without a message\n%s", status, text)
	}
	for _, unclear := range []string{"invalid argument", "operation not permitted", "permission denied", "bad file descriptor", "no such device", "inappropriate ioctl"} {
		if strings.Contains(failure, ": "+unclear) {
			t.Errorf("nobody understands %q: %s", unclear, failure)
		}
	}
	for _, bad := range []string{secret, "goroutine ", "panic:", "\x1b", "\x07"} {
		if strings.Contains(text, bad) {
			t.Errorf("it printed %q:\n%s", bad, shorten(text))
		}
	}
}

// shorten keeps what is printed about a failure readable.
func shorten(text string) string {
	const most = 4000
	if len(text) > most {
		text = text[:most] + "..."
	}
	return fmt.Sprintf("%q", text)
}
