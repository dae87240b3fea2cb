package vm

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// shell is the state of the command loop that Login starts in the guest.
type shell struct {
	ready bool
	count int // commands so far; numbers the markers
}

// loop is a program for the guest's shell. It evaluates lines without echo, prompt or line editing,
// and has the three commands of our protocol: vm_add collects a script, vm_run runs it, vm_show
// prints the output with a checksum, as often as it is asked. A marker is made by printf, so that
// an echo of this text is not taken for an answer.
const loop = `stty -echo; dmesg -n 1 2>/dev/null; kill -s RTMIN+21 1 2>/dev/null; exec sh -c '` +
	`vm_ack() { printf "\n@%s %s@\n" ack "$1"; }; ` +
	`vm_sum() { printf %s "$1" | sha256sum | cut -d" " -f1; }; ` +
	`vm_add() { vm_s=$vm_s$2; vm_ack "$1"; }; ` +
	`vm_run() { vm_o=; [ "$(vm_sum "$vm_s")" = "$2" ] && vm_o=$({ ` +
	`(eval "$(printf %s "$vm_s" | base64 -d)") </dev/null; printf " %d" $?; } | base64 -w0); vm_s=; vm_ack "$1"; }; ` +
	`vm_show() { printf "\n@%s %s@%s@%s@%s %s@\n" begin "$1" "$vm_o" "$(vm_sum "$vm_o")" end "$1"; }; ` +
	`vm_ack 0; while IFS= read -r vm_l; do eval "$vm_l"; done'`

var (
	loginPrompt    = regexp.MustCompile(`\S+ login: `)
	passwordPrompt = regexp.MustCompile(`(?i)password: ?|[\r\n][^\r\n\[\]:]{2,40}[:：] ?$`) // in any language
	loginAnswer    = regexp.MustCompile(`(Login incorrect)|[#$] (?:\x1b\[[0-9;?]*[a-zA-Z])*$`)
	firstAck       = regexp.MustCompile(`@ack 0@`)
)

// Login waits for the serial getty, logs in and prepares Run. An empty password means that the
// guest does not ask for one.
func (c *Serial) Login(ctx context.Context, user, password string) error {
	err := c.identify(ctx, user, password)
	if err == nil {
		err = c.startLoop(ctx)
	}
	if err != nil {
		return fmt.Errorf("log in as %s: %w", user, err)
	}
	c.shell.ready = true
	return nil
}

// identify gets from the getty to the answer to user and password. Messages of the kernel can tear
// a prompt apart, and getty drops what is typed too early: then it starts again, with a prompt of its own.
func (c *Serial) identify(ctx context.Context, user, password string) error {
	err := c.WaitLogin(ctx)
	for err == nil {
		if err = c.send(user); err != nil || password == "" {
			return err
		}
		var found []string
		found, err = c.waitBriefly(ctx, passwordPrompt)
		switch {
		case found != nil && loginPrompt.MatchString(found[0]):
			continue
		case found != nil:
			return c.authenticate(ctx, password)
		}
		if err == nil {
			err = c.send("") // getty answers with a new prompt
		}
		if err == nil {
			_, err = c.waitBriefly(ctx, loginPrompt)
		}
	}
	return err
}

// authenticate types the password. A shell whose prompt is not recognized is no failure.
func (c *Serial) authenticate(ctx context.Context, password string) error {
	if err := c.send(password); err != nil {
		return err
	}
	answer, err := c.waitBriefly(ctx, loginAnswer)
	if answer != nil && answer[1] != "" {
		return c.failed("the guest refuses the password", errors.New(answer[1]))
	}
	return err
}

// startLoop replaces the user's shell by our loop.
func (c *Serial) startLoop(ctx context.Context) error {
	for {
		if err := c.send(loop); err != nil {
			return err
		}
		if found, err := c.waitBriefly(ctx, firstAck); found != nil || err != nil {
			return err
		}
	}
}

// chunk is how much of a script one typed line carries: bytes of base64. A terminal takes lines of
// at most 4095.
const chunk = 2048

// Run runs a shell script in the guest, after Login, and returns its standard output and exit
// status. Standard error goes to the console. It ends when every process that has the script's
// output open has ended. After an error, such as a cancelled context, the console cannot be used.
func (c *Serial) Run(ctx context.Context, script string) (stdout string, exit int, err error) {
	if !c.shell.ready {
		return "", -1, errors.New("log in before running commands in the guest")
	}
	c.shell.ready = false
	out, err := c.run(ctx, base64.StdEncoding.EncodeToString([]byte(script)))
	if err != nil {
		return "", -1, err
	}
	c.shell.ready = true
	at := strings.LastIndexByte(out, ' ')
	exit, err = strconv.Atoi(out[at+1:])
	if at < 0 || err != nil {
		return "", -1, c.failed("run a script in the guest", fmt.Errorf("no exit status in %q", out))
	}
	return out[:at], exit, nil
}

// run types the encoded script, runs it and returns its output with " STATUS" added.
func (c *Serial) run(ctx context.Context, script string) (string, error) {
	for rest := script; rest != ""; {
		n := min(chunk, len(rest))
		if err := c.command(ctx, "vm_add", rest[:n]); err != nil {
			return "", err
		}
		rest = rest[n:]
	}
	if err := c.command(ctx, "vm_run", checksum(script)); err != nil {
		return "", err
	}
	return c.fetch(ctx)
}

// command runs one command of the loop and waits until it is done.
func (c *Serial) command(ctx context.Context, name, arg string) error {
	c.shell.count++
	if err := c.send(fmt.Sprintf("%s %d %s", name, c.shell.count, arg)); err != nil {
		return err
	}
	_, err := c.WaitFor(ctx, regexp.MustCompile(fmt.Sprintf("@ack %d@", c.shell.count)))
	return err
}

// fetches bounds how often an output is asked for whose checksum does not match.
const fetches = 5

// fetch returns the output of the last run. Messages of the kernel that fall into it spoil its
// checksum; then it is asked for again.
func (c *Serial) fetch(ctx context.Context) (string, error) {
	for range fetches {
		c.shell.count++
		n := c.shell.count
		if err := c.send(fmt.Sprintf("vm_show %d", n)); err != nil {
			return "", err
		}
		text, _, err := c.expect(ctx, regexp.MustCompile(fmt.Sprintf("@end %d@", n)))
		if err != nil {
			return "", err
		}
		_, answer, _ := strings.Cut(text, fmt.Sprintf("@begin %d@", n))
		encoded, sum, _ := strings.Cut(answer, "@")
		if checksum(encoded) != sum {
			continue
		}
		out, err := base64.StdEncoding.DecodeString(encoded)
		return string(out), err
	}
	return "", c.failed("read the output of a script", errors.New("other text keeps falling into it"))
}

func checksum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
