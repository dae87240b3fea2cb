package vm

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// guest stands for the far end of the serial line: a getty of ours, then a real shell.
type guest struct {
	password string
	spoil    int    // how many of the shell's answers get a kernel message into their middle
	prompt   string // for the password; empty for "Password: "
	deaf     int    // how often getty drops the name of the user
}

// attach returns the near end.
func (g *guest) attach(t *testing.T) *Serial {
	t.Helper()
	r, w := io.Pipe()
	s := newSerial(w, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.serve(ctx, bufio.NewReader(r), writerFunc(s.receive))
	}()
	t.Cleanup(func() {
		_ = w.Close()
		cancel()
		<-done
	})
	return s
}

func (g *guest) serve(ctx context.Context, in *bufio.Reader, out io.Writer) {
	_, _ = fmt.Fprint(out, "[    1.5] Started systemd-logind.service - User Login Management.\r\n")
	for {
		_, _ = fmt.Fprint(out, "\r\ndebian login: ")
		user, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if g.deaf > 0 {
			g.deaf--
			continue
		}
		_, _ = fmt.Fprintf(out, "%s\r%s", user, cmp.Or(g.prompt, "Password: "))
		password, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if user == "root\n" && password == g.password+"\n" {
			break
		}
		_, _ = fmt.Fprint(out, "\r\nLogin incorrect")
	}
	_, _ = fmt.Fprint(out, "\r\nLast login: never\r\n\x1b[?2004hroot@debian:~# ")
	typed, _ := in.ReadString('\n')
	_, _ = fmt.Fprint(out, strings.ReplaceAll(typed, "; ", "; \r\n> ")) // echo, torn by line editing
	shell := hostcmd.Unconfined("a test", "sh")
	// Neither signals nor the kernel's log of the host are meant.
	quiet := strings.NewReplacer("dmesg -n 1", "true", "kill -s RTMIN+21 1", "true")
	shell.Stdin = io.MultiReader(strings.NewReader(quiet.Replace(typed)), in)
	shell.Stdout, shell.Quiet = writerFunc(func(p []byte) (int, error) { return len(p), g.print(out, p) }), true
	_ = shell.Run(ctx)
}

// print passes output on, spoiled as often as it must be.
func (g *guest) print(out io.Writer, p []byte) error {
	if at := bytes.Index(p, []byte("@begin ")); at >= 0 && g.spoil > 0 {
		g.spoil--
		p = append(append(bytes.Clone(p[:at+12]), "[   99.123456] noise\r\n"...), p[at+12:]...)
	}
	_, err := out.Write(p)
	return err
}

func loggedIn(t *testing.T, g *guest) *Serial {
	t.Helper()
	s := g.attach(t)
	if err := s.Login(t.Context(), "root", g.password); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLoginInAnyLanguage: the program login asks for the password in the system's language, and getty may ask for the
// name again.
func TestLoginInAnyLanguage(t *testing.T) {
	t.Parallel()
	for _, prompt := range []string{"Passord: ", "Mot de passe : ", "密码："} {
		loggedIn(t, &guest{password: "root", prompt: prompt})
	}
	loggedIn(t, &guest{password: "root", deaf: 2})
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := loggedIn(t, &guest{password: "root"})
	for _, c := range []struct {
		name, script, stdout string
		exit                 int
	}{
		{"output", "echo hello", "hello\n", 0},
		{"nothing", "true", "", 0},
		{"empty script", "", "", 0},
		{"no newline at the end", "printf 'a b 3'", "a b 3", 0},
		{"exit status", "echo x; false", "x\n", 1},
		{"exit", "exit 42", "", 42},
		{"errexit", "set -e; echo a; false; echo b", "a\n", 1},
		{"syntax error", "echo 'open", "", 2},
		{"bytes", `printf '\001\377@end 1@\r\n'`, "\x01\xff@end 1@\r\n", 0},
		{"standard input is empty", "cat", "", 0},
		{"standard error is not output", "echo no >&2; echo yes", "yes\n", 0},
		{"quotes", `a='"'; echo "$a'\$HOME"`, "\"'$HOME\n", 0},
		{"lines", "for i in 1 2\ndo\n  echo $i\ndone\n", "1\n2\n", 0},
		{"variables do not stay", "x=1", "", 0},
		{"or did they", `echo "${x-unset}"`, "unset\n", 0},
		{"long script", strings.Repeat(": a comment that makes it long\n", 1000) + "echo end", "end\n", 0},
	} {
		stdout, exit, err := s.Run(t.Context(), c.script)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if stdout != c.stdout || exit != c.exit {
			t.Errorf("%s: got %q, exit status %d; want %q, %d", c.name, stdout, exit, c.stdout, c.exit)
		}
	}
}

func TestMebibyteOfOutput(t *testing.T) {
	t.Parallel()
	s := loggedIn(t, &guest{password: "root"})
	out, exit, err := s.Run(t.Context(), "yes 0123456789abcde | head -c 1048576")
	if err != nil || exit != 0 || out != strings.Repeat("0123456789abcde\n", 1<<16) {
		t.Errorf("%d bytes, exit status %d, error %v", len(out), exit, err)
	}
}

func TestNoiseInAnAnswerIsOvercome(t *testing.T) {
	t.Parallel()
	g := &guest{password: "root"}
	s := loggedIn(t, g)
	g.spoil = fetches - 1
	out, _, err := s.Run(t.Context(), "echo the answer is long enough to be hit")
	if err != nil || out != "the answer is long enough to be hit\n" || g.spoil != 0 {
		t.Errorf("got %q, %v; %d answers left to spoil", out, err, g.spoil)
	}
	g.spoil = fetches
	if out, _, err := s.Run(t.Context(), "echo again"); err == nil || !strings.Contains(err.Error(), "other text") {
		t.Errorf("got %q, %v from a line that is never clean", out, err)
	}
}

func TestWrongPasswordIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	s := (&guest{password: "right"}).attach(t)
	start := time.Now()
	err := s.Login(t.Context(), "root", "wrong")
	if err == nil || !strings.Contains(err.Error(), "log in as root: the guest refuses the password") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > promptTime/2 {
		t.Errorf("took %v", d)
	}
}

func TestRunNeedsLogin(t *testing.T) {
	t.Parallel()
	if _, _, err := newSerial(io.Discard, nil).Run(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "log in before") {
		t.Errorf("got %v", err)
	}
}

func TestConsoleCannotBeUsedAfterATimeout(t *testing.T) {
	t.Parallel()
	s := loggedIn(t, &guest{password: "root"})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := s.Run(ctx, "sleep 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if out, _, err := s.Run(t.Context(), "echo x"); err == nil {
		t.Errorf("got %q from a busy console", out)
	}
}

// A getty flushes what is typed before it listens, and a kernel message hides its next prompt.
func TestLoginAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := newSerial(w, nil)
		say := func(text string) { _, _ = s.receive([]byte(text)) }
		typed := make(chan string)
		go func() {
			for in := bufio.NewScanner(r); in.Scan(); {
				typed <- in.Text()
			}
			close(typed)
		}()
		result := make(chan error)
		go func() { result <- s.Login(t.Context(), "root", "secret") }()
		say("debian login: ")
		for i, step := range []struct{ want, answer string }{
			{"root", ""}, // lost
			{"", "debian [  3.1] eth0: link up\r\nlogin: "},
			{"root", "Password: "},
			{"secret", "\r\nroot@debian:~# "},
			{loop, ""}, // lost
			{loop, "\r\n@ack 0@\r\n"},
		} {
			if got := <-typed; got != step.want {
				t.Errorf("line %d: got %q, want %q", i, got, step.want)
			}
			say(step.answer)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		_ = w.Close()
		<-typed
	})
}
