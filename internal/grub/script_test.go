package grub

import (
	_ "embed"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

//go:embed testdata/mariner.cfg
var marinerConfig string // of the shape of Mariner 2.0's

//go:embed testdata/debian.cfg
var debianConfig string // of the shape of what Debian's grub-mkconfig makes

// awkwardConfig has every construct of the lexer.
const awkwardConfig = "# comment with 'quote\nset a='single\nline'\"double \\\"x\\\" $b ${c}\" # end\nlinux \\\n  /vmlinuz\\ 1 a\\\nb $\"text\" k#l *;echo x&&echo y||echo z|q\r\nif [ \"$1\" = \"$#\" ] ; then linuxefi /k ;; fi\nmenuentry x { submenu y { linux /k } }\n"

func FuzzParseScript(f *testing.F) {
	for _, seed := range []string{marinerConfig, debianConfig, awkwardConfig, "linux 'a", "\tlinux x $kernelopts\r\n", "linux /k \\", "menuentry {{}}", "$", "linux /k \"$kernelopts\" -- x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, k := range s.tokens {
			if k.word.Start == k.word.End {
				t.Fatalf("an empty token in %q", text)
			}
			b.WriteString(text[k.word.Start:k.word.End])
		}
		if b.String() != text {
			t.Errorf("%q became %q", text, b.String())
		}
	})
}

func TestParseScript(t *testing.T) {
	t.Parallel()
	s, err := Parse(awkwardConfig)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range s.Commands {
		line := fmt.Sprint(c.Line, ":")
		for _, w := range c.Words {
			line += " [" + w.Value() + "]"
		}
		if c.Entry != nil {
			line += " in " + c.Entry.Words[1].Value()
		}
		got = append(got, line)
	}
	want := []string{
		"2: [set] [a=single\nlinedouble \"x\" ${b} ${c}]", "4: [linux] [/vmlinuz 1] [ab] [text] [k#l] [*]", "6: [echo] [x]", "6: [echo] [y]", "6: [echo] [z]", "6: [q]",
		"7: [[] [${1}] [=] [${#}] []]", "7: [linuxefi] [/k]", "7: [fi]", "8: [menuentry] [x]", "8: [submenu] [y] in x", "8: [linux] [/k] in y",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := len(s.Find("linux", "linuxefi")); n != 3 {
		t.Errorf("found %d kernel commands", n)
	}
}

// TestErrorsOfGrub has grub-script-check judge the same texts.
func TestErrorsOfGrub(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		marinerConfig: true, debianConfig: true,
		"echo 'a\n": false, "echo \"a\n": false, "echo $\n": false, "menuentry x { echo\n": false, "echo }\n": false, "echo a{b}c\n": false,
		"echo \\\n\nsearch -n\n": true, "menuentry x { linux /k a=1; }\n": true,
	} {
		file := path.Join(t.TempDir(), "grub.cfg")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := run(t, "grub-script-check", file) == nil; got != ok {
			t.Errorf("grub-script-check %q: %v", text, got)
		}
		// a{b}c is a block to us: only the names of commands decide whether GRUB allows one.
		if _, err := Parse(text); (err == nil) != ok && text != "echo a{b}c\n" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestHostileScriptsTakeLittle: what takes a script apart takes time and memory that go with its size.
func TestHostileScriptsTakeLittle(t *testing.T) {
	for name, text := range map[string]string{
		"words":     strings.Repeat("a ", 2<<20),
		"commands":  strings.Repeat("a\n", 2<<20),
		"variables": strings.Repeat("$a", 2<<20),
		"quotes":    strings.Repeat("''", 2<<20),
		"blocks":    strings.Repeat("menuentry {\n", 1<<20),
		"closed":    strings.Repeat("menuentry {\n", 1<<19) + strings.Repeat("linux a\n}\n", 1<<19),
		"comments":  strings.Repeat("#\n", 2<<20),
		"escapes":   strings.Repeat("\\\n", 2<<20),
		"one word":  strings.Repeat("a", 4<<20),
		"open":      "'" + strings.Repeat("a", 4<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Parse(text)
		runtime.ReadMemStats(&after)
		took, bytes := time.Since(start), after.TotalAlloc-before.TotalAlloc
		t.Logf("%s: %v, %d MiB, %v", name, took, bytes>>20, err)
		if took > 5*time.Second || bytes > 256<<20 {
			t.Errorf("%s: %v and %d MiB", name, took, bytes>>20)
		}
	}
}
