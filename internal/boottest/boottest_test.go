package boottest

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// line is a report as the guest writes it.
func line(mark string, n, status int, text string) string {
	return fmt.Sprintf("\n%s %d %d %s\r\n", mark, n, status, base64.StdEncoding.EncodeToString([]byte(text)))
}

func TestReportsAreFoundAmongOtherText(t *testing.T) {
	t.Parallel()
	r := newReports("MARK")
	text := "\x1b[2JBdsDxe: loading\r\nMARK 0 0 !!!\nOTHER 1 0 eA==\n" + line("MARK", 1, 0, "multi-user.target\n") +
		"half a line " + line("MARK", 7, 3, "") + strings.Repeat("x", 3*longest) + line("MARK", 8, 0, strings.Repeat("y", maxOutput)) + "MARK 9 0 unfinished"
	for _, b := range []byte(text) { // a pipe gives what there is
		_, _ = r.Write([]byte{b})
	}
	got := r.answers()
	if got[1].output != "multi-user.target\n" || got[7].status != 3 || len(got[8].output) != maxOutput {
		t.Errorf("got %d answers: %.80v", len(got), got)
	}
	if len(got) != 3 {
		t.Errorf("%d answers, want 3: what is no report was taken for one", len(got))
	}
}

func FuzzReports(f *testing.F) {
	f.Add([]byte(line("M", 1, 0, "a")), 3)
	f.Add([]byte("M 99999999999999999999 0 \nM 1 999 \n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		r := newReports("M")
		for size = max(size, 1); len(data) > 0; data = data[min(size, len(data)):] {
			_, _ = r.Write(data[:min(size, len(data))])
		}
		if len(r.pending) > longest {
			t.Errorf("%d bytes are kept", len(r.pending))
		}
	})
}

// good is what a system says with which nothing is wrong.
func good() map[int]answer {
	return map[int]answer{
		reportStarted: {0, "6.1"}, reportTarget: {0, "graphical.target\n"}, reportSettled: {0, "running"}, reportFailed: {0, "\n"}, reportWhy: {0, ""},
		reportPorts: {0, "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 0\n   1: 0100007F:0050 00000000:0000 01 0\n"}, reportEnd: {0, ""},
		firstCheck: {0, "debian\n"}, firstCheck + 1: {3, "x=y\n"}, firstCheck + 2: {0, "ID=debian\n"},
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	spec := &Spec{
		Commands: []Command{{Command: "hostname", Output: "debian"}, {Command: "test", ExitCode: 3, Contains: "x="}},
		Files:    []File{{Path: "/etc/os-release", Contains: "debian"}}, Ports: []Port{22}, AllowFailedUnits: []Unit{"known.service"},
	}
	for _, c := range []struct {
		name   string
		change func(map[int]answer)
		want   string // a check and why it failed; empty where all pass
	}{
		{"all well", func(map[int]answer) {}, ""},
		{"a unit that may fail", func(m map[int]answer) { m[reportFailed] = answer{0, "known.service\n"} }, ""},
		{"a failed unit", func(m map[int]answer) {
			m[reportFailed], m[reportWhy] = answer{0, "a.service\nknown.service\n"}, answer{0, "a.service: no such file\nb.service: x\n"}
		}, "no failed units failed: a.service; no such file"},
		{"target not reached", func(m map[int]answer) {
			m[reportTarget] = answer{1, "multi-user.target\n7 slow.service start running\n"}
		}, "target multi-user.target it did not become active in time; still starting: 7 slow.service"},
		{"target that failed", func(m map[int]answer) { m[reportTarget] = answer{1, "multi-user.target\n"} }, "nothing that would make it so"},
		{"wrong output", func(m map[int]answer) { m[firstCheck] = answer{0, "other"} }, `command: hostname it printed "other" instead of "debian"`},
		{"wrong status", func(m map[int]answer) { m[firstCheck+1] = answer{0, "x="} }, "exit status 0 instead of 3"},
		{"text that is not contained", func(m map[int]answer) { m[firstCheck+1] = answer{3, "no"} }, `does not contain "x="`},
		{"command without end", func(m map[int]answer) { m[firstCheck] = answer{timedOut, ""} }, "it did not end in time"},
		{"file that is not there", func(m map[int]answer) { m[firstCheck+2] = answer{1, ""} }, "the file is not there"},
		{"port with a connection only", func(m map[int]answer) {
			m[reportPorts] = answer{0, "   0: 00000000:0016 00000000:0000 01 0\n"}
		}, "port 22 no program listens there"},
		{"IPv6", func(m map[int]answer) {
			m[reportPorts] = answer{0, "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0\n"}
		}, ""},
		{"nothing after the target", func(m map[int]answer) { delete(m, firstCheck); delete(m, reportFailed) }, "no failed units the system did not get to it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := good()
			c.change(got)
			r := Report{Checks: spec.judge(got)}
			var wrong []string
			for _, k := range r.Checks {
				if k.Result != Passed {
					wrong = append(wrong, k.Name+" "+k.Text)
				}
			}
			text := strings.Join(wrong, "\n")
			if r.OK() != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}

// TestNothingReportedIsNotPassed holds that a report without answers never passes.
func TestNothingReportedIsNotPassed(t *testing.T) {
	t.Parallel()
	spec := &Spec{Ports: []Port{1}, Commands: []Command{{Command: "true"}}, Files: []File{{Path: "/x"}}}
	for _, c := range spec.judge(nil) {
		if c.Result != NotRun {
			t.Errorf("%s: %s", c.Name, c.Result)
		}
	}
	if (&Report{}).OK() {
		t.Error("a report without checks passes")
	}
}

// TestScript runs the guest's script with a stand-in for systemctl and journalctl, which says what those of systemd 252
// print in these forms (systemctl(1)), and cannot show what a real system does: boots do.
func TestScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"systemctl": `#!/bin/sh
case "$1 $2" in
"get-default ") echo multi-user.target;;
"is-system-running --wait") echo degraded; exit 1;;
"list-units --state=failed") echo "bad.service loaded failed failed Bad";;
esac`,
		"journalctl": "#!/bin/sh\necho \"it is bad: $*\"\n",
		"stty":       "#!/bin/sh\nexit 0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "port")
	s := &Spec{Commands: []Command{{Command: `echo "it's = fine"; exit 7`}, {Command: "yes | head -c 100000"}, {Command: "cat"}}, Files: []File{{Path: "/no such 'file"}}}
	text := strings.ReplaceAll(script("MARK", s, s.checks()), "/dev/ttyS1", out)
	text = strings.ReplaceAll(text, `>"$out"`, `>>"$out"`) // a file, unlike a port, would be written anew
	cmd := exec.Command("sh", "-c", text)
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r := newReports("MARK")
	_, _ = r.Write(data)
	got := r.answers()
	for n, want := range map[int]answer{
		reportTarget: {0, "multi-user.target\n"}, reportSettled: {0, "degraded\n"}, reportFailed: {0, "bad.service\n"},
		reportWhy: {0, "bad.service: it is bad: --no-pager -b -o cat -n 5 -u bad.service\n"}, reportEnd: {0, "\n"},
		firstCheck: {7, "it's = fine\n"}, firstCheck + 2: {0, ""}, firstCheck + 3: {1, ""},
	} {
		if got[n] != want {
			t.Errorf("report %d: got %+v, want %+v", n, got[n], want)
		}
	}
	if n := len(got[firstCheck+1].output); n != maxOutput {
		t.Errorf("%d bytes of a long output, want %d", n, maxOutput)
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	data, err := JUnit([]*Report{{
		Image: "a<b>&\"\x01.raw", Seconds: 1.5, Console: []byte("\x1b[0mhello\x00 ]]> \xff"),
		Checks: []Check{{1, "boot", Passed, ""}, {1, "command: \x02", Failed, "it \"did\"\nnot"}, {2, "file: x", NotRun, "no"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var back suites
	if err := xml.Unmarshal(data, &back); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	s := back.Suites[0]
	if s.Tests != 3 || s.Failures != 1 || s.Skipped != 1 || s.Cases[1].Failure.Text != "it \"did\"\nnot" || s.Cases[2].Skipped == nil || s.Time != "1.500" {
		t.Errorf("got %s", data)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	s := Spec{Ports: []Port{1}, Target: "a.target", Boots: 2}
	s.Add(Spec{Ports: []Port{2}, Target: "b.target", Timeout: 30})
	if len(s.Ports) != 2 || s.Target != "b.target" || s.Boots != 2 || s.Timeout != 30 || !s.Used() || (&Spec{}).Used() {
		t.Errorf("got %+v", s)
	}
}
