package system

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

// systemTest is a config of the sections here.
type systemTest struct {
	OS struct {
		Hosts  Hosts  `yaml:"hosts"`
		Keymap Keymap `yaml:"keymap"`
		Locale Locale `yaml:"locale"`
	} `yaml:"os"`
}

func TestLocaleIsNamedWhereItIsRead(t *testing.T) {
	t.Parallel()
	const pam = "session required pam_env.so readenv=1 envfile=/etc/default/locale\n"
	for _, c := range []struct {
		files      map[string]string
		conf, deb  string
		deflt, gen string
	}{
		{map[string]string{"usr/lib/locale/nb_NO.utf8/LC_TIME": ""}, "LANG=nb_NO.UTF-8\nLC_TIME=C.UTF-8\n", "", "", ""},
		{map[string]string{"usr/lib/locale/nb_NO.utf8/LC_TIME": "", "etc/pam.d/login": pam, "etc/default/locale": "LC_ALL=C\nLANG=C\nLC_PAPER=C\n", "etc/locale.conf": "#x\nLANG=en_US.UTF-8\n"},
			"#x\nLANG=nb_NO.UTF-8\nLC_TIME=C.UTF-8\n", "LC_PAPER=C\nLANG=nb_NO.UTF-8\nLC_TIME=C.UTF-8\n", "", ""},
		{map[string]string{"usr/lib/locale/nb_NO.utf8/LC_TIME": "", "etc/locale.gen": "# list\n"}, "LANG=nb_NO.UTF-8\nLC_TIME=C.UTF-8\n", "", "", "# list\nnb_NO.UTF-8 UTF-8\n"},
	} {
		m := featuretest.Tree(t, c.files)
		if err := m.Root.MkdirAll("/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		s := SetLocale{featuretest.Parse[systemTest](t, "os: {locale: {lang: nb_NO.UTF-8, extra: {LC_TIME: C.UTF-8}}}").OS.Locale}
		featuretest.MustRun(t, m, s, s) // the second changes nothing
		for name, want := range map[string]string{localeConf: c.conf, localeDefault: c.deb, localeGen: c.gen} {
			if got, _ := m.Root.ReadFile(name); string(got) != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

func TestLocaleThatTheImageLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		yaml  string
		files map[string]string
		want  string
	}{
		{"lang: nb_NO.UTF-8", nil, "os.locale.lang: the image has no locale nb_NO.UTF-8 (install locales in the same run)\n"},
		{"lang: C.UTF-8", nil, ""},
		{"lang: C.UTF-8, generate: [de_DE.utf8]", map[string]string{"usr/lib/locale/de_DE.utf8/x": ""}, ""},
		{"generate: [no_NB.UTF-8]", map[string]string{"usr/share/i18n/locales/nb_NO": ""}, "os.locale.generate[0]: the image has no locale no_NB.UTF-8 (install"},
		{"lang: nb_NN.UTF-8", map[string]string{"usr/share/i18n/locales/nb_NO": ""}, `(did you mean "nb_NO"?)`},
		{"extra: {LC_TIME: en_DK.UTF-8, LANGUAGE: 'nb:en'}", nil, "os.locale.extra.LC_TIME: the image has no locale en_DK.UTF-8"},
		{"lang: C.UTF-8", map[string]string{"etc/environment": "export LC_ALL=C\n"}, "/etc/environment of the image sets LC_ALL"},
		{"lang: C.UTF-8", map[string]string{"etc/environment": "LANG=C\n"}, "sets LANG"},
		{"lang: C.UTF-8", map[string]string{"etc/environment": "#LANG=C\nLC_TIME=C\n"}, ""},
	} {
		c.files = addedTo(c.files, "etc/x")
		got := featuretest.ProblemTexts(t, featuretest.Parse[systemTest](t, "os: {locale: {"+c.yaml+"}}").OS.Locale, c.files)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.yaml, got, c.want)
		}
	}
}

func addedTo(files map[string]string, name string) map[string]string {
	all := map[string]string{name: ""}
	for k, v := range files {
		all[k] = v
	}
	return all
}

func TestLocalesAreChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[systemTest](t, "locale", map[string]string{
		"{lang: norsk bokmål}":            `2:18: error: "norsk bokmål"`,
		"{lang: nb_NO}":                   "names no encoding",
		"{lang: ca_ES@valencia}":          "write ca_ES.UTF-8@valencia",
		"{lang: ../../etc/passwd}":        "is not the name of a locale",
		"{generate: [nb-NO.UTF-8]}":       "2:23: error",
		"{extra: {LC_ALL: C.UTF-8}}":      "unknown key \"LC_ALL\"",
		"{extra: {LC_TIEM: C.UTF-8}}":     `did you mean "LC_TIME"?`,
		"{extra: {LANGUAGE: 'nb en'}}":    "LANGUAGE",
		"{extra: {LC_TIME: \"C\\nX=1\"}}": "LC_TIME",
	})
}
