package kargs

import (
	"math/rand/v2"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/test/arguments"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		" a  b=c ":                 {"a", "b=c"},
		`dyndbg="file x +p" quiet`: {"dyndbg=file x +p", "quiet"},
		`"dyndbg=file x +p" quiet`: {"dyndbg=file x +p", "quiet"},
		`a="b",c="d e" f`:          {`a=b",c="d e`, "f"}, // the kernel drops the outer quotes only
		`=x "y"`:                   {"=x", "y"},
		`="x"`:                     {`="x"`},
		"a\tb\nc\vd":               {"a", "b", "c", "d"},
		"é=à":                      {"é=à"},
		`a= b=""`:                  {"a=", "b="},
		`""`:                       nil,
		"":                         nil,
	} {
		got, err := Split(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := Split(`a="b`); err == nil {
		t.Error("an open quote passes")
	}
}

func TestCmdline(t *testing.T) {
	t.Parallel()
	c := Cmdline{"ro", "console=tty0", "console=ttyS0", "rd.auto=1"}
	for name, got := range map[string]struct{ got, want Cmdline }{
		"remove":              {c.Remove("console"), Cmdline{"ro", "rd.auto=1"}},
		"set":                 {c.Set("console=x"), Cmdline{"ro", "rd.auto=1", "console=x"}},
		"add new":             {c.Add("quiet"), append(slices.Clone(c), "quiet")},
		"add last value":      {c.Add("console=ttyS0"), c},
		"add earlier value":   {c.Add("console=tty0"), append(slices.Clone(c), "console=tty0")},
		"add both":            {c.Add("console=tty0", "quiet", "console=ttyS0"), append(slices.Clone(c), "quiet")},
		"add in other order":  {c.Add("console=ttyS0", "console=tty0"), append(slices.Clone(c), "console=tty0")},
		"hyphen, underscore":  {Cmdline{"a-b=1"}.Add("a_b=2").Remove("a-b"), Cmdline{}},
		"nothing to nothing":  {Cmdline(nil).Add(), nil},
		"one of several more": {Cmdline{"m=1"}.Add("m=1", "m=2"), Cmdline{"m=1", "m=2"}},
	} {
		if d := cmp.Diff(got.want, got.got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if !c.Has("rd.auto") || c.Has("r") || !c.Has("console") {
		t.Error("Has is wrong")
	}
	if len(c) != 4 {
		t.Errorf("the command line itself was changed: %q", c)
	}
}

// TestCarriers writes arguments and reads them back as the programs on their way do.
func TestCarriers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		carrier Carrier
		refused []string
	}{
		{Plain, []string{`a"b`, "nbsp=\u00a0\""}},
		{GRUBScript, []string{`a"b`, "it's", `back\slash`, "à", "tab\tbed", `\x4`}},
		{GRUBEntry, []string{"memmap=10M$1G", `a"b`, "it's", `back\slash`, "${x}", "$(id)"}},
	} {
		for _, a := range arguments.Awkward {
			if slices.Contains(c.refused, a) {
				continue
			}
			form, err := c.carrier.Write(a)
			if err != nil {
				t.Errorf("%s: %v", c.carrier.name, err)
			}
			for _, read := range c.carrier.reads {
				if got, err := read("first " + form + " last"); err != nil || !slices.Equal(got, []string{"first", a, "last"}) {
					t.Errorf("%s: %q arrives as %q, %v", c.carrier.name, a, got, err)
				}
			}
		}
		for _, a := range c.refused {
			if _, err := c.carrier.Write(a); err == nil || !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), "write it without") && !strings.Contains(err.Error(), "ASCII") {
				t.Errorf("%s: %q: %v", c.carrier.name, a, err)
			}
		}
	}
}

// TestCarriersRefuseLittle holds that only what GRUB itself changes is refused.
func TestCarriersRefuseLittle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	passed := 0
	for range 5000 {
		a := arguments.Random(r)
		if _, err := GRUBScript.Write(a); err == nil {
			passed++
		} else if !strings.ContainsAny(a, `'"\`) {
			t.Errorf("%v", err)
		}
		if _, err := Plain.Write(a); err != nil && !strings.Contains(a, `"`) {
			t.Errorf("%v", err)
		}
	}
	if passed < 1000 {
		t.Errorf("only %d arguments were tried", passed)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range append([]string{`a b="c d"`, `"x y"=1`, `a="b"c" d"`, "=", `"`}, arguments.Awkward...) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args, err := Split(text)
		if err != nil {
			return
		}
		joined, err := Plain.Join(args)
		if err != nil {
			return // refused, not changed
		}
		if again, err := Split(joined); err != nil || !slices.Equal(args, again) {
			t.Errorf("%q: %q became %q (%v)", text, args, again, err)
		}
		if c := Cmdline(args).Add(args...); !slices.Equal(c, args) {
			t.Errorf("%q grew to %q", args, c)
		}
	})
}

// TestWordsAgainstGrub has GRUB itself take words apart, in its build for Linux programs.
func TestWordsAgainstGrub(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	forms := []string{`'a b'`, `"d\$e"`, `f\ g`, "h\\\n", "\\\nj", `"i\j"`, "k#l", `"m'n"`, `'o"p'`, `q\"r`, `a'b'"c"\d`, `""`, `''`, `"x\\y"`, "''e"}
	for range 300 {
		if form, err := GRUBScript.Write(arguments.Random(r)); err == nil {
			forms = append(forms, form)
		}
	}
	script := "function show {\n  for w in \"$@\"; do echo \"[$w]\"; done\n}\n"
	var want []string
	for _, f := range forms {
		script += "show " + f + " end\n"
		words, err := grub.Words(f + " end")
		if err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		for _, w := range words {
			want = append(want, "["+w.Value()+"]")
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(path.Join(dir, "grub.cfg"), []byte(script+"exit\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	screen := regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\r`).ReplaceAllString(output(t, "grub-emu", "-d", dir), "")
	got := slices.DeleteFunc(strings.Split(screen, "\n"), func(l string) bool { return !strings.HasPrefix(l, "[") })
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// output runs a program that must be there and succeed.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := hostcmd.Unconfined("a test", program, args...).Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}
