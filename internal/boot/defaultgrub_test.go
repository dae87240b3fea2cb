package boot

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/test/arguments"
)

// mkconfigText stands for the image's grub-mkconfig, of which only what it reads matters here.
const mkconfigText = `for x in ${sysconfdir}/default/grub.d/*.cfg ; do . "${x}"; done`

// defaultsOf makes an image with these files of /etc/default/grub.d; "grub" is the main file.
func defaultsOf(texts map[string]string) memory {
	files := map[string]string{"/boot/grub/grub.cfg": debianConfig, "/usr/sbin/grub-mkconfig": mkconfigText}
	for name, text := range texts {
		if name == "grub" {
			files[defaultsFile] = text
		} else {
			files[path.Join(defaultsDir, name)] = text
		}
	}
	return image(files)
}

// sourced are the values of both variables after a shell has read the files as grub-mkconfig does.
func sourced(t *testing.T, shell string, files memory) (every, normal string) {
	t.Helper()
	dir := t.TempDir()
	script := "set -e\n"
	d, err := readDefaults(files, mkconfigText)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range d.names {
		if _, there := d.old[name]; !there {
			continue
		}
		file := path.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(d.texts[name]), 0o644); err != nil {
			t.Fatal(err)
		}
		script += ". " + file + "\n"
	}
	out := output(t, shell, "-c", script+`printf '%s\0%s\0' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"`)
	values := strings.Split(out, "\x00")
	return values[0], values[1]
}

// arrived are the arguments that the kernel of a normal entry gets.
func arrived(t *testing.T, every, normal string) []string {
	t.Helper()
	args, err := throughGRUB(strings.NewReplacer("$kernelopts", "opts", "${kernelopts}", "opts").Replace(every + " " + normal))
	if err != nil {
		t.Fatalf("%q %q: %v", every, normal, err)
	}
	return args
}

// defaultsVariants are ways to write the file, each with "old" among its arguments. Those that only
// bash understands are marked, as on distributions whose sh is bash.
var defaultsVariants = map[string]map[string]string{
	"double":             {"grub": "A=1\nGRUB_CMDLINE_LINUX=\"old one\" # why\nB=2\n"},
	"single":             {"grub": "GRUB_CMDLINE_LINUX='old one'\n"},
	"bare":               {"grub": "GRUB_CMDLINE_LINUX=old\n"},
	"bare, escaped":      {"grub": "GRUB_CMDLINE_LINUX=old\\ two\n"},
	"mixed":              {"grub": "GRUB_CMDLINE_LINUX=old' single '\"double\"\n"},
	"empty":              {"grub": "GRUB_CMDLINE_LINUX=\"\"\nGRUB_CMDLINE_LINUX_DEFAULT=old\n"},
	"empty, bare":        {"grub": "GRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX_DEFAULT=old"},
	"no break at end":    {"grub": "GRUB_CMDLINE_LINUX_DEFAULT=old"},
	"twice":              {"grub": "GRUB_CMDLINE_LINUX=first\nGRUB_CMDLINE_LINUX=\"old\"\n"},
	"commented":          {"grub": "GRUB_CMDLINE_LINUX=old\n#GRUB_CMDLINE_LINUX=\"no\"\n"},
	"export":             {"grub": "export GRUB_CMDLINE_LINUX=\"old\"\n"},
	"one line":           {"grub": "A=1 GRUB_CMDLINE_LINUX=old;B=2;GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX x\"\n"},
	"not kept":           {"grub": "GRUB_CMDLINE_LINUX=old\nGRUB_CMDLINE_LINUX=no true\n"},
	"continued":          {"grub": "GRUB_CMDLINE_LINUX=\"a \\\n  old\"\n"},
	"substitution":       {"grub": "GRUB_DISTRIBUTOR=`echo \"Debian\" | head -1`\nX=$(echo ')' \\) \"it's\" \")\" \")$(echo \"(\")\")\nGRUB_CMDLINE_LINUX=\"old ${X:+}\"\n"},
	"itself":             {"grub": "GRUB_CMDLINE_LINUX=old\nGRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX a\"\n"},
	"if":                 {"grub": "GRUB_CMDLINE_LINUX=old\nif true; then\n  GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} a\"\nfi\n"},
	"if not":             {"grub": "GRUB_CMDLINE_LINUX=old\nif false; then GRUB_CMDLINE_LINUX=b; fi\n"},
	"and":                {"grub": "GRUB_CMDLINE_LINUX=old\nfalse && GRUB_CMDLINE_LINUX=b || true\n"},
	"function":           {"grub": "GRUB_CMDLINE_LINUX=old\nf() { GRUB_CMDLINE_LINUX=b; }\n"},
	"loop":               {"grub": "for i in old x; do GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX $i\"; done\n"},
	"case":               {"grub": "case x in y) GRUB_CMDLINE_LINUX=b;; x) GRUB_CMDLINE_LINUX=old;; esac\n"},
	"subshell":           {"grub": "GRUB_CMDLINE_LINUX=old\n(GRUB_CMDLINE_LINUX=b)\n"},
	"overridden":         {"grub": "GRUB_CMDLINE_LINUX=a\n", "50-cloudimg-settings.cfg": "GRUB_CMDLINE_LINUX=\"old\"\n"},
	"overridden default": {"grub": "GRUB_CMDLINE_LINUX=old\n", "50-cloudimg-settings.cfg": "GRUB_CMDLINE_LINUX_DEFAULT=\"k=9 console=tty1 plain=2\"\n"},
	"hidden":             {"grub": "GRUB_CMDLINE_LINUX=old\n", ".50.cfg": "GRUB_CMDLINE_LINUX=no\n"},
	"bash: append":       {"grub": "GRUB_CMDLINE_LINUX=x\nGRUB_CMDLINE_LINUX+=\" old\"\n"},
	"bash: append first": {"grub": "GRUB_CMDLINE_LINUX+=old\n"},
	"Azure Linux":        {"grub": "GRUB_CMDLINE_LINUX=\"old\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"  \\$kernelopts\"\n"},
	"Azure, unescaped":   {"grub": "GRUB_CMDLINE_LINUX=\"old\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"  $kernelopts\"\n"},
	"Azure, single":      {"grub": "GRUB_CMDLINE_LINUX=\"old\"\nGRUB_CMDLINE_LINUX_DEFAULT='a ${kernelopts}'\n"},
	"Azure, bare":        {"grub": "GRUB_CMDLINE_LINUX=\"old\"\nGRUB_CMDLINE_LINUX_DEFAULT=\\$kernelopts\n"},
}

// TestDefaultsReachTheKernel has a real shell read the edited files, and takes the result apart as
// GRUB and the kernel do.
func TestDefaultsReachTheKernel(t *testing.T) {
	t.Parallel()
	for name, texts := range defaultsVariants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shell := "/bin/sh"
			if strings.HasPrefix(name, "bash") {
				shell = "bash"
			}
			files := defaultsOf(texts)
			s := files.scheme(t)
			if _, err := changeArgs(files, s, arguments.Awkward); err != nil {
				t.Fatal(err)
			}
			every, normal := sourced(t, shell, files)
			got := kargs.Cmdline(arrived(t, every, normal))
			if missing := got.Missing(arguments.Awkward); len(missing) > 0 {
				t.Errorf("%q are missing in %q", missing, got)
			}
			if !slices.Contains(got, "old") {
				t.Errorf("the old argument is lost: %q", got)
			}
			if strings.Contains(name, "Azure") && !strings.HasSuffix(normal, "kernelopts") && !strings.HasSuffix(normal, "{kernelopts}") {
				t.Errorf("kernelopts is not last: %q", normal)
			} else if first, err := throughGRUB(every); !strings.Contains(name, "Azure") && (err != nil || len(kargs.Cmdline(first).Missing(arguments.Awkward)) > 0) {
				t.Errorf("the recovery entry gets %q only, %v", first, err)
			}
			if change, err := changeArgs(files, s, arguments.Awkward); err != nil || change.Files != nil {
				t.Errorf("a second run changes %q, %v", change.Files, err)
			}
		})
	}
}

// TestDefaultsKeepTheRest holds that nothing but the arguments is new.
func TestDefaultsKeepTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ texts, want map[string]string }{
		"double":  {defaultsVariants["double"], map[string]string{"grub": "A=1\nGRUB_CMDLINE_LINUX=\"old one x=1 'y=a b'\" # why\nB=2\n"}},
		"single":  {defaultsVariants["single"], map[string]string{"grub": "GRUB_CMDLINE_LINUX='old one x=1 '\\''y=a b'\\'''\n"}},
		"bare":    {defaultsVariants["bare"], map[string]string{"grub": "GRUB_CMDLINE_LINUX=\"old x=1 'y=a b'\"\n"}},
		"missing": {map[string]string{"grub": "A=1"}, map[string]string{"grub": "A=1\nGRUB_CMDLINE_LINUX=\"x=1 'y=a b'\"\n"}},
		"no file": {nil, map[string]string{"grub": "GRUB_CMDLINE_LINUX=\"x=1 'y=a b'\"\n"}},
		"if":      {defaultsVariants["if"], map[string]string{"grub": defaultsVariants["if"]["grub"] + "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX x=1 'y=a b'\"\n"}},
		"cloud": {
			map[string]string{"grub": "GRUB_CMDLINE_LINUX=a\n", "50.cfg": "GRUB_CMDLINE_LINUX=\"b\"\n", "README": "GRUB_CMDLINE_LINUX=c\n"},
			map[string]string{"grub": "GRUB_CMDLINE_LINUX=a\n", "50.cfg": "GRUB_CMDLINE_LINUX=\"b x=1 'y=a b'\"\n", "README": "GRUB_CMDLINE_LINUX=c\n"},
		},
		"overruled": {
			map[string]string{"grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet x=0\"\n"},
			map[string]string{"grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet x=0 x=1\"\nGRUB_CMDLINE_LINUX=\"x=1 'y=a b'\"\n"},
		},
		"Azure Linux": {
			map[string]string{"grub": "GRUB_CMDLINE_LINUX=\"rd.auto=1\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"  $kernelopts\"\n"},
			map[string]string{"grub": "GRUB_CMDLINE_LINUX=\"rd.auto=1\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"  x=1 'y=a b' \\$kernelopts\"\n"},
		},
	} {
		files := defaultsOf(c.texts)
		if _, err := changeArgs(files, files.scheme(t), []string{"x=1", "y=a b"}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for file, want := range c.want {
			full := path.Join(defaultsDir, file)
			if file == "grub" {
				full = defaultsFile
			}
			if d := cmp.Diff(want, files.text(t, full)); d != "" {
				t.Errorf("%s: %s: %s", name, file, d)
			}
		}
	}
}

// TestRandomArgumentsReachTheKernel does so with arguments nobody thought of.
func TestRandomArgumentsReachTheKernel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	var args []string
	for len(args) < 400 {
		if a := arguments.Random(r); grubScriptTakes(a) {
			args = append(args, a)
		}
	}
	for _, name := range []string{"double", "single", "bare", "mixed", "Azure Linux", "Azure, single"} {
		files := defaultsOf(defaultsVariants[name])
		if _, err := changeArgs(files, files.scheme(t), args); err != nil {
			t.Fatal(err)
		}
		every, normal := sourced(t, "/bin/sh", files)
		got := slices.DeleteFunc(arrived(t, every, normal), func(a string) bool { return kargs.Name(a) != "k" })
		if d := cmp.Diff(args, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func grubScriptTakes(arg string) bool {
	_, err := kargs.GRUBScript.Write(arg)
	return err == nil
}

// TestDefaultsThatAreNotRead holds that grub.d counts only where the image reads it.
func TestDefaultsThatAreNotRead(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{false, true} {
		files := defaultsOf(map[string]string{"grub": "GRUB_CMDLINE_LINUX=a\n", "50.cfg": "GRUB_CMDLINE_LINUX=b\n"})
		if !reads {
			_ = files.WriteFile("/usr/sbin/grub-mkconfig", []byte(". ${sysconfdir}/default/grub"), 0o755)
		}
		change, err := changeArgs(files, files.scheme(t), []string{"x"})
		want := map[bool][]string{false: {"/etc/default/grub"}, true: {"/etc/default/grub.d/50.cfg"}}[reads]
		if err != nil || !slices.Equal(change.Files, want) {
			t.Errorf("read: %v: wrote %q, %v", reads, change.Files, err)
		}
	}
}

func TestDefaultsThatCannotBeEdited(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"A=1\nGRUB_CMDLINE_LINUX=\"a\n":    "/etc/default/grub: line 3: the quote \" is not closed",
		"GRUB_CMDLINE_LINUX='a\n":          "the quote ' is not closed",
		"A=`x\n":                           "` is not closed",
		"A=$(x\n":                          "a substitution is not closed",
		"A=$(')\n":                         "the quote ' is not closed",
		"GRUB_CMDLINE_LINUX=\"a 'b\"\n":    "GRUB_CMDLINE_LINUX: line 1: a single quote is not closed",
		"GRUB_CMDLINE_LINUX=\"a; b\"\n":    "end of a command",
		"GRUB_CMDLINE_LINUX=\"a\n b\"\n":   "end of a command",
		"GRUB_CMDLINE_LINUX=\"a \\$ b\"\n": "begins no variable",
	} {
		files := defaultsOf(map[string]string{"grub": text})
		change, err := changeArgs(files, files.scheme(t), []string{"x"})
		if err == nil || !strings.Contains(err.Error(), want) || change.Files != nil || files.text(t, defaultsFile) != text {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzDefaults compares the values we see with those a shell sees, and holds that an edit adds the
// argument and nothing else.
func FuzzDefaults(f *testing.F) {
	for _, texts := range defaultsVariants {
		f.Add(texts["grub"], "x=1")
	}
	f.Add("GRUB_CMDLINE_LINUX=\"a \\\"b\\\" $x\"\n", "two words")
	f.Add("GRUB_CMDLINE_LINUX='", "y")
	f.Add("export GRUB_CMDLINE_LINUX=a;b", "z$")
	f.Fuzz(func(t *testing.T, text, arg string) {
		files := image(map[string]string{defaultsFile: text})
		d, err := readDefaults(files, "")
		if err != nil {
			return
		}
		if strings.ContainsAny(arg, "\x00") || d.add([]string{arg}) != nil {
			return
		}
		every, err := d.args(everyEntry)
		normal, err2 := d.args(normalEntry)
		if err != nil || err2 != nil {
			t.Fatalf("%q: %q cannot be read: %v %v", text, d.texts[defaultsFile], err, err2)
		}
		if missing := append(every, normal...).Missing([]string{arg}); len(missing) > 0 {
			t.Errorf("%q: %q lacks %q", text, d.texts[defaultsFile], arg)
		}
		once := d.texts[defaultsFile]
		if err := d.add([]string{arg}); err != nil || d.texts[defaultsFile] != once {
			t.Errorf("%q: adding twice: %q, then %q (%v)", text, once, d.texts[defaultsFile], err)
		}
	})
}

func TestForceRoot(t *testing.T) {
	t.Parallel()
	files := image(map[string]string{
		"/etc/default/grub": "GRUB_TIMEOUT=0\n", "/usr/sbin/grub-mkconfig": "for f in ${sysconfdir}/default/grub.d/*.cfg",
		"/etc/default/grub.d/40-force-partuuid.cfg": "# Ubuntu\nGRUB_FORCE_PARTUUID=\"old\"\nexport X\n", "/etc/default/grub.d/50-off.cfg": "GRUB_FORCE_PARTUUID=\n",
		"/boot/grub/grub.cfg": "",
	})
	if err := forceRoot(files, files.scheme(t).Config, "new-1"); err != nil {
		t.Fatal(err)
	}
	if got := files.text(t, "/etc/default/grub.d/40-force-partuuid.cfg"); got != "# Ubuntu\nGRUB_FORCE_PARTUUID=new-1\nexport X\n" {
		t.Errorf("%q", got)
	}
	if files.text(t, "/etc/default/grub") != "GRUB_TIMEOUT=0\n" || files.text(t, "/etc/default/grub.d/50-off.cfg") != "GRUB_FORCE_PARTUUID=\n" {
		t.Error("what forces no root is changed")
	}
}

// throughGRUB is what the kernel makes of the words of a GRUB linux command.
func throughGRUB(text string) ([]string, error) {
	words, err := grub.Words(text)
	return kargs.Literal(words), err
}
