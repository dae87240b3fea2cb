package boottest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"imagecustomizer/internal/hostcmd"
)

// unitName is the unit that the booted system is handed.
const unitName = "imagecustomizer-boot-test.service"

// The numbers of what every boot reports; those of checks follow.
const (
	reportStarted = iota // the unit runs, in the root filesystem that it will have
	reportTarget         // status 0: the target is active; the output is its name
	reportSettled        // what systemctl is-system-running says when nothing is left to do
	reportFailed         // failed units, a line each
	reportWhy            // last lines that the failed units logged
	reportPorts          // /proc/net/tcp and tcp6
	reportEnd            // nothing comes any more
	firstCheck
)

// answer is what the booted system says to a question.
type answer struct {
	status int
	output string // at most maxOutput of it
}

// maxOutput bounds one answer: bytes. A guest that says more is not believed to say less.
const maxOutput = 64 << 10

// script is what the unit runs. The mark is random, so that no other text on the line is taken for a report.
func script(mark string, s *Spec, checks []check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "mark=%s\nlimit=%d\ntarget=%s\n", mark, int(s.limit().Seconds()), hostcmd.Quote(string(s.Target)))
	b.WriteString(preamble)
	for i, c := range checks {
		fmt.Fprintf(&b, "ask %d %s\n", firstCheck+i, hostcmd.Quote(c.command))
	}
	b.WriteString(epilogue)
	return b.String()
}

// preamble waits until the system is up. Standard error is kept apart: a command fails by its status.
const preamble = `
out=/dev/ttyS1
stty -F "$out" raw -echo 2>/dev/null
say() { printf '\n%s %s %s %s\n' "$mark" "$1" "$2" "$(head -c 65536 | base64 -w0)" >"$out"; }
ask() { # number, command
  text=$( { timeout -k 5 "$limit" /bin/sh -c "$2" </dev/null 2>/dev/console; echo "=$?"; } )
  status=${text##*=}
  printf %s "${text%=*}" | say "$1" "$status"
}
patience=$((limit * 7 / 10))
until_active() {
  while ! systemctl is-active --quiet "$target"; do
    [ -n "$(systemctl list-jobs --plain --no-legend)" ] && [ "$patience" -gt 0 ] || return 1
    sleep 1; patience=$((patience - 1))
  done
}
uname -r | say 0 0
[ -n "$target" ] || target=$(systemctl get-default)
if until_active; then echo "$target" | say 1 0
else { echo "$target"; systemctl list-jobs --plain --no-legend; } | say 1 1; fi
state=$(timeout "$((patience + 5))" systemctl is-system-running --wait)
echo "$state" | say 2 0
failed=$(systemctl list-units --state=failed --plain --no-legend --full | cut -d' ' -f1)
echo "$failed" | say 3 0
for u in $failed; do journalctl --no-pager -b -o cat -n 5 -u "$u" | sed "s|^|$u: |"; done | say 4 0
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | say 5 0
`

const epilogue = `
sync
echo | say 6 0
systemctl poweroff --no-block
`

// credentials are what systemd 256 and newer takes from the machine's SMBIOS tables: a unit, and a drop-in that has
// the system start it (systemd-debug-generator(8), systemd.system-credentials(7)). An initramfs has them too, where
// the unit's condition keeps it from running.
func credentials(script string) map[string]string {
	return map[string]string{
		"systemd.extra-unit." + unitName:   unit(script),
		"systemd.unit-dropin.basic.target": dropIn,
	}
}

const dropIn = "[Unit]\nWants=" + unitName + "\n"

// unit runs the script. Its start is over when the script has begun, or the system would wait for it to be up.
func unit(script string) string {
	return "[Unit]\nDescription=Boot test\nDefaultDependencies=no\nConditionPathExists=!/etc/initrd-release\n" +
		"After=systemd-remount-fs.service\n[Service]\nType=exec\nStandardOutput=null\nStandardError=null\n" +
		`ExecStart=/bin/sh -c "echo ` + base64.StdEncoding.EncodeToString([]byte(script)) + ` | base64 -d | exec /bin/sh"` + "\n"
}

// reports collects what comes over the second serial port.
type reports struct {
	mark    string
	pending []byte

	mu  sync.Mutex
	got map[int]answer

	changed chan struct{} // has a value after something came
}

func newReports(mark string) *reports {
	return &reports{mark: mark, got: map[int]answer{}, changed: make(chan struct{}, 1)}
}

// longest is how long a line of a report can be: bytes.
const longest = maxOutput*4/3 + 256

// Write takes bytes of the line. Firmware and boot loaders write there too, and are passed over.
func (r *reports) Write(p []byte) (int, error) {
	r.pending = append(r.pending, p...)
	for {
		line, rest, found := bytes.Cut(r.pending, []byte("\n"))
		if !found {
			break
		}
		r.pending = rest
		r.line(string(line))
	}
	if len(r.pending) > longest {
		r.pending = nil
	}
	return len(p), nil
}

var reportLine = regexp.MustCompile(`^(\d{1,6}) (\d{1,3}) ([A-Za-z0-9+/=]*)\r?$`)

func (r *reports) line(text string) {
	_, text, found := strings.Cut(text, r.mark+" ")
	m := reportLine.FindStringSubmatch(text)
	if !found || m == nil {
		return
	}
	n, _ := strconv.Atoi(m[1])
	status, _ := strconv.Atoi(m[2])
	output, err := base64.StdEncoding.DecodeString(m[3])
	if err != nil {
		return
	}
	r.mu.Lock()
	r.got[n] = answer{status, string(output)}
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *reports) has(n int) bool {
	_, there := r.answers()[n]
	return there
}

// answers are those that have come.
func (r *reports) answers() map[int]answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.got)
}
