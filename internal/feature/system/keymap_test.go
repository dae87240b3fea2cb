package system

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

const baseLst = "! model\n  pc105 Generic\n! layout\n  no  Norwegian\n  us English\n! variant\n  nodeadkeys no: Norwegian (no dead keys)\n  intl us: English (intl.)\n! option\n"

func keymapTree(t *testing.T) *machine.Machine {
	m := featuretest.Tree(t, map[string]string{
		"usr/lib/systemd/systemd-vconsole-setup": "", "usr/lib/kbd/keymaps/xkb/no.map.gz": "", "usr/lib/kbd/keymaps/i386/us.map": "",
		"usr/share/X11/xkb/rules/base.lst": baseLst, "etc/vconsole.conf": "FONT=x\nKEYMAP=us\n",
	})
	featuretest.Program(t, m, "loadkeys")
	return m
}

func TestKeymapOfTheConsole(t *testing.T) {
	t.Parallel()
	m := keymapTree(t)
	s := SetKeymap{featuretest.Parse[systemTest](t, "os: {keymap: {layout: no, variant: nodeadkeys}}").OS.Keymap}
	featuretest.MustRun(t, m, s, s)
	want := "FONT=x\nXKBLAYOUT=\"no\"\nXKBMODEL=\"pc105\"\nXKBVARIANT=\"nodeadkeys\"\nXKBOPTIONS=\"\"\nKEYMAP=\"no\"\n"
	if got := featuretest.Read(t, m, vconsoleConf); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKeymapThatTheImageLacks(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"layout: 'no'": "", "layout: us, variant: intl, console: 'no'": "", "layout: 'us,no', variant: ',nodeadkeys'": "",
		"layout: nn":                  `layout: the image has no keymap "nn" for the console`,
		"layout: us, variant: nodead": `variant: the keyboard layout "us" has no variant "nodead" (it has intl)`,
		"layout: us, console: noo":    `console: the image has no keymap "noo" for the console (did you mean "no"?)`,
		"layout: us, model: pc104":    `(did you mean "pc105"?)`,
		"layout: 'us,de'":             `no keyboard layout "de"`,
	} {
		m := keymapTree(t)
		m.Facts = featuretest.DebianFacts
		var got string
		for _, p := range (plan.Plan{SetKeymap{featuretest.Parse[systemTest](t, "os: {keymap: {"+yaml+"}}").OS.Keymap}}).Preflight(t.Context(), m) {
			got += strings.TrimPrefix(p.Path, "os.keymap.") + ": " + p.Text + " (" + p.Hint + ")"
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
	got := featuretest.ProblemTexts(t, featuretest.Parse[systemTest](t, "os: {keymap: {layout: us}}").OS.Keymap, map[string]string{"etc/x": ""})
	if !strings.Contains(got, "install console-setup") {
		t.Errorf("an image with nothing that sets a keymap: %q", got)
	}
}

func TestKeymapIsInTheInitramfs(t *testing.T) {
	t.Parallel()
	facts := *featuretest.DebianFacts
	for builder, want := range map[string]string{"": "", "dracut": "the keymap"} {
		facts.Initramfs = builder
		g := &feature.Given{Facts: &facts}
		featuretest.Parse[systemTest](t, "os: {keymap: {layout: us}}").OS.Keymap.Plan(g)
		if got := strings.Join(g.Initramfs, ""); got != want {
			t.Errorf("%q: %q, want %q", builder, got, want)
		}
	}
}

func TestKeymapsAreChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[systemTest](t, "keymap", map[string]string{
		"{layout: \"no\\nX=1\"}":                   "names nothing of a keyboard",
		"{layout: '$(id)'}":                        "names nothing of a keyboard",
		"{variant: intl}":                          "layout is missing",
		"{layout: us, variant: 'intl,nodeadkeys'}": "more variants than layouts",
	})
}
