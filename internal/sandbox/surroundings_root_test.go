//go:build root

package sandbox_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/sandbox"
)

// listing prints what a program of an image finds out about its surroundings.
const listing = `grep -E "^Cap(Bnd|Eff|Prm|Inh|Amb)" /proc/self/status
for n in mnt pid ipc net uts user; do echo "ns $n $(readlink /proc/self/ns/$n)"; done
echo "first $(tr "\0" " " < /proc/1/cmdline | cut -d" " -f2)"
echo "score $(cat /proc/self/oom_score_adj)"
for d in /tmp /run /dev/shm; do echo "size $d $(stat -f -c %b $d)"; done
find /proc -maxdepth 2 -regex "/proc/[0-9].*" -prune -o -type f -perm /222 -print | while read f; do
  [ -f "$f" ] && (: >> "$f") 2>/dev/null && echo "writable $f"
done
for f in /proc/self/fd/0 /proc/self/fd/1 $(find /proc /dev -maxdepth 1 -type c); do
  case $(readlink -f $f) in *pipe:*) continue;; esac; m=$(stat -Lc %a $f); chmod $m $f 2>/dev/null && echo "changed $f"
done
for f in kcore keys kallsyms sysrq-trigger slabinfo kmsg; do [ ! -f /proc/$f ] || [ -z "$(head -c 1 /proc/$f | tr '\0' x)" ] || echo "shown $f"; done
perl -e 'for $f (0..63) { for $t (1, 2, 3, 5) { socket($s, $f, $t, 0) and print "socket $f\n" } }
  for $p (0..31) { socket($s, 16, 3, $p) and print "netlink $p\n" }'
echo end
`

// mayHave are all capabilities that a program of an image may have.
const mayHave = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_KILL |
	1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_LINUX_IMMUTABLE | 1<<unix.CAP_NET_BIND_SERVICE |
	1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_MKNOD | 1<<unix.CAP_SETFCAP

// TestSurroundings asks the kernel for all there is, rather than for what we thought of: every capability, kind of
// socket, namespace, and file of /proc that belongs to no process.
func TestSurroundings(t *testing.T) {
	t.Parallel()
	root := emptyImage(t)
	if err := os.WriteFile(root+"/etc/list", []byte(listing), 0o644); err != nil {
		t.Fatal(err)
	}
	got := ask(t, sandbox.Spec{}, "image "+root+" sh /etc/list")
	seen := map[string]int{}
	for line := range strings.Lines(got) {
		f := strings.Fields(line)
		seen[f[0]]++
		if why := tooMuch(f); why != "" {
			t.Errorf("%s: %s", strings.TrimSpace(line), why)
		}
	}
	if seen["ns"] != 6 || seen["size"] != 3 || seen["socket"] < 4 || seen["CapBnd:"] != 1 || seen["first"] != 1 || seen["end"] != 1 {
		t.Errorf("not all was found out: %v\n%s", seen, got)
	}
}

// tooMuch says what is wrong with a line of the listing.
func tooMuch(f []string) string {
	switch what, value := f[0], f[len(f)-1]; what {
	case "CapBnd:", "CapEff:", "CapPrm:", "CapInh:", "CapAmb:":
		bits, _ := strconv.ParseUint(value, 16, 64)
		if bits&^uint64(mayHave) != 0 {
			return "a capability too many"
		}
	case "ns":
		own, _ := os.Readlink("/proc/self/ns/" + f[1])
		if shared := f[1] == "net" || f[1] == "user"; (value == own) != shared {
			return "ours is " + own
		}
	case "first":
		if value != "__exec" {
			return "process 1 is not ours"
		}
	case "score":
		if value != "900" {
			return "others end first where memory runs out"
		}
	case "size":
		if value == "0" {
			return "it has no limit"
		}
	case "socket":
		if n, _ := strconv.Atoi(value); n != unix.AF_UNIX && n != unix.AF_INET && n != unix.AF_INET6 && n != unix.AF_NETLINK {
			return "a kind of socket too many"
		}
	case "netlink":
		if value == strconv.Itoa(unix.NETLINK_AUDIT) {
			return "the host's audit can be talked to"
		}
	case "writable", "shown", "changed":
		return "it reaches the host"
	}
	return ""
}
