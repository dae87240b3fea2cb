package ui

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a terminal as far as the live view uses one. It scrolls without end.
type screen struct {
	t        *testing.T
	columns  int
	lines    [][]rune
	row, col int
	rest     string
}

var escape = regexp.MustCompile(`^\x1b\[([0-9]*)([A-Za-z])`)

func (s *screen) Write(b []byte) (int, error) {
	s.rest += string(b)
	for s.rest != "" {
		if m := escape.FindStringSubmatch(s.rest); m != nil {
			s.control(m[2], m[1])
			s.rest = s.rest[len(m[0]):]
			continue
		}
		r := []rune(s.rest)[0]
		s.rest = s.rest[len(string(r)):]
		s.put(r)
	}
	return len(b), nil
}

func (s *screen) control(command, number string) {
	switch command {
	case "A":
		n, _ := strconv.Atoi(number)
		s.row -= n
	case "J":
		s.line()
		s.lines = s.lines[:s.row+1]
		s.lines[s.row] = s.lines[s.row][:s.col]
	case "m":
	default:
		s.t.Errorf("the terminal gets an escape sequence %q it need not know", command)
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\n': // as a terminal that adds the return, which the kernel does
		s.row, s.col = s.row+1, 0
		s.line()
		return
	case '\r':
		s.col = 0
		return
	}
	s.line()
	if s.col+columnsOfRune(r) > s.columns {
		s.t.Errorf("a line wraps: %q then %q", string(s.lines[s.row]), r)
	}
	s.lines[s.row] = append(s.lines[s.row][:s.col], r)
	s.col++
}

func (s *screen) line() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
}

func (s *screen) String() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(strings.TrimRight(string(l), " ") + "\n")
	}
	return b.String()
}

// live is a live view of that size on a screen.
func live(t *testing.T, columns, rows int, lang string) (*liveView, *screen) {
	t.Helper()
	s := &screen{t: t, columns: columns}
	env := func(name string) string { return map[string]string{"LANG": lang}[name] }
	return &liveView{out: s, size: func() (int, int) { return columns, rows }, style: styleOf(env, true)}, s
}

func TestLive(t *testing.T) {
	t.Parallel()
	v, s := live(t, 70, 24, "C.UTF-8")
	v.event(Event{Time: at(0), Kind: Start, Step: "open", Title: "open the image"})
	v.tick(at(0.3))
	wantText(t, s.String(), "⠸   0.3s open the image\n")
	v.event(Event{Time: at(1), Kind: Done, Step: "open", Title: "open the image", Elapsed: time.Second})
	wantText(t, s.String(), "✓ open the image (1.0s)\n\n")
	v.event(Event{Time: at(1), Kind: Start, Step: "vhdx", Title: "write out/image.vhdx"})
	v.event(Event{Time: at(1), Kind: Start, Step: "qcow2", Title: "write out/image.qcow2"})
	v.event(Event{Time: at(2), Kind: Progress, Step: "vhdx", Done: 1 << 29, Total: 1 << 30})
	v.tick(at(2))
	wantText(t, s.String(), `✓ open the image (1.0s)
⠋   1.0s write out/image.vhdx [██████████░░░░░░░░░░]  50% of 1.0 GiB
⠋   1.0s write out/image.qcow2
`)
	v.text([]byte("a log line\nand another"))
	v.event(Event{Time: at(3), Kind: Done, Step: "vhdx", Title: "write out/image.vhdx", Elapsed: 2 * time.Second})
	v.event(Event{Time: at(3.1), Kind: Fail, Step: "qcow2", Title: "write out/image.qcow2", Elapsed: 2 * time.Second})
	v.end()
	wantText(t, s.String(), `✓ open the image (1.0s)
a log line
and another
✓ write out/image.vhdx (2.0s)
✗ write out/image.qcow2 (2.0s)

`)
}

func TestLiveInNarrowTerminals(t *testing.T) {
	t.Parallel()
	for columns := 1; columns <= 120; columns++ {
		for _, lang := range []string{"C.UTF-8", "C"} {
			v, s := live(t, columns, 3, lang)
			for i, title := range []string{"a title of some length that goes on and on and on", "日本語のタイトル日本語のタイトル", "e\u0301", ""} {
				v.event(Event{Time: at(0), Kind: Start, Step: fmt.Sprint(i), Title: title})
				v.event(Event{Time: at(0), Kind: Progress, Step: fmt.Sprint(i), Done: 3, Total: 4})
			}
			v.tick(at(100))
			if got := strings.Count(s.String(), "\n"); got != 2 {
				t.Errorf("%d lines in a terminal of 3 rows:\n%s", got, s)
			}
			v.end()
			wantText(t, s.String(), "\n")
		}
	}
}

func TestLineGivesWayByDetail(t *testing.T) {
	t.Parallel()
	step := &stepState{title: "write out/image.vhdx", start: at(0), done: 3, total: 4}
	s := styleOf(func(string) string { return "" }, false)
	for columns, want := range map[int]string{
		80: `|   5.2s write out/image.vhdx [###############-----]  75% of 4 B`,
		62: `|   5.2s write out/image.vhdx  75% of 4 B`,
		40: `|   5.2s write out/image.vhdx  75%`,
		30: `|   5.2s write out/image.vhdx`,
		20: `|   5.2s write ou...`,
		9:  `|   5.2s `,
		2:  `| `,
	} {
		if got := s.line(step, at(5.2), columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
}

func TestLocale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "en_US.UTF-8", true},
		{"C", "", "en_US.UTF-8", false},
		{"", "de_DE.utf8", "C", true},
		{"", "C", "C.UTF-8", false},
	} {
		env := map[string]string{"LC_ALL": c.all, "LC_CTYPE": c.ctype, "LANG": c.lang}
		if got := isUTF8(func(n string) string { return env[n] }); got != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("title", 80, int64(1), int64(2))
	f.Add("日本\x1b[2J\n語", 7, int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, title string, columns int, done, total int64) {
		if columns < 0 || done < 0 {
			return
		}
		s := styleOf(func(string) string { return "C.UTF-8" }, false)
		line := s.line(&stepState{title: title, start: at(0), done: done, total: total}, at(1), columns)
		if strings.ContainsAny(line, "\n\x1b\r") || columnsOf(line) > columns {
			t.Errorf("%d columns: %q", columns, line)
		}
	})
}

// terminal opens a real pseudo terminal of that width.
func terminal(t *testing.T, columns uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal runs f with a UI on a real terminal and returns all bytes that reached the terminal.
func onTerminal(t *testing.T, env map[string]string, f func(*UI)) string {
	t.Helper()
	master, slave := terminal(t, 60)
	all := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // ends with EIO when the slave is closed
		all <- string(b)
	}()
	u := open(t, Options{Out: slave, Env: func(n string) string { return env[n] }})
	f(u)
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	_ = slave.Close()
	return <-all
}

func steps(u *UI) {
	u.Handle(Event{Kind: Start, Step: "a", Title: "first"})
	time.Sleep(300 * time.Millisecond)
	u.Logger().Warn("careful")
	u.Handle(Event{Kind: Done, Step: "a", Title: "first", Elapsed: 300 * time.Millisecond})
}

func TestOnARealTerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env           map[string]string
		drawn, colors bool
		mark          string
	}{
		"colours":  {map[string]string{"TERM": "xterm", "LANG": "C.UTF-8"}, true, true, "✓ first (0.3s)"},
		"NO_COLOR": {map[string]string{"TERM": "xterm", "LANG": "C.UTF-8", "NO_COLOR": "1"}, true, false, "✓ first (0.3s)"},
		"ASCII":    {map[string]string{"TERM": "xterm"}, true, true, "ok first (0.3s)"},
		"dumb":     {map[string]string{"TERM": "dumb", "LANG": "C.UTF-8"}, false, false, "first (0.3s)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bytes := onTerminal(t, c.env, steps)
			s := &screen{t: t, columns: 60}
			_, _ = s.Write([]byte(bytes))
			lines := strings.Split(s.String(), "\n")
			if len(lines) < 3 || !strings.HasSuffix(lines[0], " WRN careful") || !strings.HasSuffix(lines[1], c.mark) {
				t.Errorf("the screen shows %q", lines)
			}
			if drawn := strings.Count(bytes, "\x1b[J") >= 3; drawn != c.drawn {
				t.Errorf("live lines were drawn: %v; got %q", drawn, bytes)
			}
			if colors := regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(bytes); colors != c.colors {
				t.Errorf("colours: %v; got %q", colors, bytes)
			}
		})
	}
}
