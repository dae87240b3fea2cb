package boottest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// Check is one thing that was looked at, and what came of it.
type Check struct {
	Boot   int    `json:"boot"` // from 1
	Name   string `json:"name"`
	Result Result `json:"result"`
	Text   string `json:"text,omitempty"` // why it failed or was not made
}

// Result is what came of a check. One that was not made has not passed.
type Result string

// The results.
const (
	Passed Result = "passed"
	Failed Result = "failed"
	NotRun Result = "not run"
)

// check is one question that is asked in the booted system.
type check struct {
	name    string
	command string              // for its shell
	judge   func(answer) string // what is wrong with the answer, or ""
}

// checks are the questions of a config, in its order.
func (s *Spec) checks() (list []check) {
	for _, c := range s.Commands {
		list = append(list, check{"command: " + c.Command, c.Command, c.judge})
	}
	for _, f := range s.Files {
		list = append(list, check{"file: " + f.Path, "cat -- " + hostcmd.Quote(f.Path), f.judge})
	}
	return list
}

func (c Command) judge(a answer) string {
	out := strings.TrimSpace(a.output)
	switch {
	case a.status == timedOut && c.ExitCode != timedOut:
		return "it did not end in time"
	case a.status != c.ExitCode:
		return fmt.Sprintf("exit status %d instead of %d; it printed %q", a.status, c.ExitCode, short(out))
	case c.Output != "" && out != strings.TrimSpace(c.Output):
		return fmt.Sprintf("it printed %q instead of %q", short(out), c.Output)
	case !strings.Contains(a.output, c.Contains):
		return fmt.Sprintf("it printed %q, which does not contain %q", short(out), c.Contains)
	}
	return ""
}

// timedOut is the exit status of timeout(1) for a command that it ended.
const timedOut = 124

func (f File) judge(a answer) string {
	switch {
	case a.status != 0:
		return "the file is not there, or cannot be read"
	case !strings.Contains(a.output, f.Contains):
		return fmt.Sprintf("it does not contain %q", f.Contains)
	}
	return ""
}

// short is the beginning of a text, for a message.
func short(s string) string {
	const most = 500 // characters
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// judge compares what one boot reported with what it had to.
func (s *Spec) judge(got map[int]answer) (list []Check) {
	add := func(name, wrong string, numbers ...int) {
		c := Check{Name: name, Result: Passed, Text: wrong}
		if wrong != "" {
			c.Result = Failed
		}
		for _, n := range numbers {
			if _, there := got[n]; !there {
				c.Result, c.Text = NotRun, "the system did not get to it"
			}
		}
		list = append(list, c)
	}
	target, _, _ := strings.Cut(got[reportTarget].output, "\n")
	add(strings.TrimSpace("target "+target), s.judgeTarget(got[reportTarget]), reportTarget)
	add("no failed units", s.judgeFailed(got), reportFailed)
	for _, p := range s.Ports {
		add(fmt.Sprintf("port %d", p), judgePort(p, got[reportPorts].output), reportPorts)
	}
	for i, c := range s.checks() {
		a := got[firstCheck+i]
		add(c.name, c.judge(a), firstCheck+i)
	}
	return list
}

func (s *Spec) judgeTarget(a answer) string {
	if a.status == 0 {
		return ""
	}
	_, jobs, _ := strings.Cut(strings.TrimSpace(a.output), "\n")
	if jobs == "" {
		return "it did not become active, and nothing that would make it so is left to do"
	}
	return "it did not become active in time; still starting: " + strings.Join(strings.Fields(jobs), " ")
}

func (s *Spec) judgeFailed(got map[int]answer) string {
	var wrong []string
	for _, u := range strings.Fields(got[reportFailed].output) {
		if slices.Contains(s.AllowFailedUnits, Unit(u)) {
			continue
		}
		why := ""
		for line := range strings.Lines(got[reportWhy].output) {
			if text, found := strings.CutPrefix(strings.TrimSpace(line), u+": "); found {
				why += "; " + text
			}
		}
		wrong = append(wrong, u+short(why))
	}
	if len(wrong) == 0 {
		return ""
	}
	return "failed: " + strings.Join(wrong, ", ")
}

// judgePort looks for a listening socket in /proc/net/tcp, whose addresses are hexadecimal (proc(5)).
func judgePort(p Port, table string) string {
	const listening = "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != listening {
			continue
		}
		_, port, _ := strings.Cut(f[1], ":")
		if b, err := hex.DecodeString(port); err == nil && len(b) == 2 && Port(int(b[0])<<8|int(b[1])) == p {
			return ""
		}
	}
	return "no program listens there"
}
