package system

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// Locale is the language of the system and how it writes dates, numbers and the like.
type Locale struct {
	Lang     LocaleName   `yaml:"lang" doc:"Locale of all that extra does not name." example:"nb_NO.UTF-8"`
	Generate []LocaleName `yaml:"generate" doc:"Further locales that the image must have."`
	Extra    LocaleExtra  `yaml:"extra" doc:"Locales of single categories, by their variables."`
}

// LocaleExtra are the variables of locale.conf(5) beside LANG.
type LocaleExtra struct {
	Language       Languages  `yaml:"LANGUAGE" doc:"Languages of messages, the first choice first." example:"nb:nn:en"`
	CType          LocaleName `yaml:"LC_CTYPE" doc:"Locale of kinds of characters."`
	Numeric        LocaleName `yaml:"LC_NUMERIC" doc:"Locale of numbers."`
	Time           LocaleName `yaml:"LC_TIME" doc:"Locale of dates and times."`
	Collate        LocaleName `yaml:"LC_COLLATE" doc:"Locale of the order of words."`
	Monetary       LocaleName `yaml:"LC_MONETARY" doc:"Locale of sums of money."`
	Messages       LocaleName `yaml:"LC_MESSAGES" doc:"Locale of messages."`
	Paper          LocaleName `yaml:"LC_PAPER" doc:"Locale of the size of paper."`
	PersonName     LocaleName `yaml:"LC_NAME" doc:"Locale of names of people."`
	Address        LocaleName `yaml:"LC_ADDRESS" doc:"Locale of addresses."`
	Telephone      LocaleName `yaml:"LC_TELEPHONE" doc:"Locale of telephone numbers."`
	Measurement    LocaleName `yaml:"LC_MEASUREMENT" doc:"Locale of units of measurement."`
	Identification LocaleName `yaml:"LC_IDENTIFICATION" doc:"Locale of what is said of the locale."`
}

// variables are those that are set, in their order.
func (e LocaleExtra) variables() (list []LocaleVariable) {
	v := reflect.ValueOf(e)
	for f, value := range v.Fields() {
		if value.String() != "" {
			list = append(list, LocaleVariable{f.Tag.Get("yaml"), value.String()})
		}
	}
	return list
}

// LocaleVariable is a variable of locale.conf(5).
type LocaleVariable struct{ Name, Value string }

// LocaleName is the name of a locale, such as nb_NO.UTF-8.
type LocaleName string

// localeForm has an encoding: without one, a locale is from before Unicode.
var localeForm = regexp.MustCompile(`^(C|POSIX|(C|[a-z]{2,3}(_[A-Z]{2})?)\.[A-Za-z0-9-]+(@[a-z]+)?)$`)

// Describe tells how the name is written.
func (LocaleName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: localeForm.String()}
}

// Validate checks the name's form.
func (n *LocaleName) Validate(at *config.At) {
	switch {
	case n.Describe().Fits(string(*n)):
	case localeForm.MatchString(string(n.utf8())):
		at.Errorf("the locale %s names no encoding: it would be one from before Unicode", string(*n)).Hint("write %s", n.utf8())
	default:
		at.Errorf("%q is not the name of a locale", string(*n)).Hint("write it like nb_NO.UTF-8: language, country, encoding")
	}
}

// Languages are languages with colons between them.
type Languages string

// Describe tells how they are written.
func (Languages) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z_@]{2,20}(:[A-Za-z_@]{2,20})*$`}
}

// Validate checks their form.
func (l *Languages) Validate(at *config.At) {
	if !l.Describe().Fits(string(*l)) {
		at.Errorf("%q is not a list of languages", string(*l)).Hint("write it like nb:nn:en")
	}
}

// encoding is what follows the dot of a name.
func (n LocaleName) encoding() string {
	_, e, _ := strings.Cut(string(n), ".")
	e, _, _ = strings.Cut(e, "@")
	return e
}

// utf8 is the name with the encoding UTF-8.
func (n LocaleName) utf8() LocaleName {
	name, variant, is := strings.Cut(string(n), "@")
	if is {
		variant = "@" + variant
	}
	return LocaleName(name + ".UTF-8" + variant)
}

// source is the name without its encoding, as the files are called that a locale is made of.
func (n LocaleName) source() string { return strings.Replace(string(n), "."+n.encoding(), "", 1) }

// same compares names as the C library does: in encodings, case and hyphens do not count.
func (n LocaleName) same(other string) bool {
	plain := func(n LocaleName) string {
		return n.source() + "." + strings.ToLower(strings.ReplaceAll(n.encoding(), "-", ""))
	}
	return plain(n) == plain(LocaleName(other))
}

// builtIn tells whether the C library has it in itself.
func (n LocaleName) builtIn() bool {
	return slices.Contains([]LocaleName{"", "C", "POSIX", "C.UTF-8"}, n)
}

// Used tells whether something is asked for.
func (l Locale) Used() bool { return l.Lang != "" || len(l.Generate) > 0 || l.Extra != LocaleExtra{} }

// Touches are the files that name the locale, and those that it is made into.
func (l Locale) Touches() []feature.Touch {
	list := []feature.Touch{{Path: localeConf}, {Path: localeDefault}}
	if len(l.needed()) > 0 {
		list = append(list, feature.Touch{Path: localeGen}, feature.Touch{Path: localeDir})
	}
	return list
}

// Plan sets the locale.
func (l Locale) Plan(*feature.Given) (plan.Plan, []plan.Problem) { return plan.Plan{SetLocale{l}}, nil }

// Record is all of it.
func (l Locale) Record() (any, error) {
	return feature.RecordIf(l.Used(), map[string]any{"lang": l.Lang, "generate": l.Generate, "extra": l.Extra.variables()})
}

// needed are the locales that the image must have, with the place of each in the config.
func (l Locale) needed() map[LocaleName]string {
	all := map[LocaleName]string{l.Lang: "os.locale.lang"}
	for i, n := range l.Generate {
		all[n] = cmp.Or(all[n], fmt.Sprintf("os.locale.generate[%d]", i))
	}
	for _, v := range l.Extra.variables() {
		if n := LocaleName(v.Value); v.Name != "LANGUAGE" {
			all[n] = cmp.Or(all[n], "os.locale.extra."+v.Name)
		}
	}
	maps.DeleteFunc(all, func(n LocaleName, _ string) bool { return n.builtIn() })
	return all
}

// The files of locale.conf(5). Debian's PAM reads its own, which is a link to the other since Debian 13. The list of
// locales to make is Debian's, and is read again when the package is updated.
const (
	localeConf    = "/etc/locale.conf"
	localeDefault = "/etc/default/locale"
	localeGen     = "/etc/locale.gen"
	localeDir     = "/usr/lib/locale"
	localeSources = "/usr/share/i18n/locales"
)

// SetLocale sets the locale of the system, and makes what the image has the sources of.
type SetLocale struct{ Locale Locale }

// Name identifies the step.
func (SetLocale) Name() string { return "locale" }

func (s SetLocale) String() string {
	words := s.settings()
	for _, n := range s.Locale.Generate {
		words = append(words, string(n))
	}
	return "set the locale: " + strings.Join(words, ", ")
}

// settings are the variables, LANG first.
func (s SetLocale) settings() (list []string) {
	if s.Locale.Lang != "" {
		list = append(list, "LANG="+string(s.Locale.Lang))
	}
	for _, v := range s.Locale.Extra.variables() {
		list = append(list, v.Name+"="+v.Value)
	}
	return list
}

// Replaces lists the files that name the locale.
func (SetLocale) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.locale", append([]string{localeConf}, feature.Present(m, localeDefault, localeGen)...)...)
}

// Check looks for the locales, and for what would set others after all.
func (s SetLocale) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	needed := s.Locale.needed()
	there := localesThere(ctx, m)
	for _, n := range slices.Sorted(maps.Keys(needed)) {
		if slices.ContainsFunc(there, n.same) || m.Root.Exists(path.Join(localeSources, n.source())) && m.Has("localedef") {
			continue
		}
		p := plan.Problem{Path: needed[n], Text: fmt.Sprintf("the image has no locale %s", n), Later: true, Hint: feature.Installing(m, pkgmgr.Locales)}
		if sources, err := m.Root.ReadDir(localeSources); err == nil {
			var names []string
			for _, e := range sources {
				names = append(names, e.Name())
			}
			p.Hint = config.DidYouMean(n.source(), names, p.Hint)
		}
		problems = append(problems, p)
	}
	if len(s.settings()) > 0 {
		problems = append(problems, s.overruled(m)...)
	}
	return problems
}

// overruled finds variables in /etc/environment, which PAM sets after those of the locale's files or instead.
func (s SetLocale) overruled(m *machine.Machine) (problems []plan.Problem) {
	text, _ := m.Root.ReadFile("/etc/environment") // which an image need not have
	for line := range strings.Lines(string(text)) {
		key, _, is := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if is && (key == "LC_ALL" || s.sets(key)) {
			problems = append(problems, plan.Problem{
				Path: "os.locale", Text: fmt.Sprintf("/etc/environment of the image sets %s, which would win over this locale", key),
				Hint: "write the file anew with additionalFiles, without that line",
			})
		}
	}
	return problems
}

func (s SetLocale) sets(key string) bool {
	return slices.ContainsFunc(s.settings(), func(l string) bool { return strings.HasPrefix(l, key+"=") })
}

// localesThere are the locales that the image's own programs find.
func localesThere(ctx context.Context, m *machine.Machine) []string {
	if !m.Has("locale") {
		entries, _ := m.Root.ReadDir(localeDir) // without it there are none
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	c := hostcmd.New("locale", "-a")
	c.Quiet = true
	text, _ := m.Output(ctx, c) // what cannot be asked has none
	return strings.Fields(text)
}

// Run makes what is missing, sees whether it is there then, and names the locale.
func (s SetLocale) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	needed := slices.Sorted(maps.Keys(s.Locale.needed()))
	if err := makeLocales(ctx, m, needed); err != nil {
		return err
	}
	there := localesThere(ctx, m)
	for _, n := range needed {
		if !slices.ContainsFunc(there, n.same) {
			return fmt.Errorf("the locale %s is not there, although the image's programs were to make it", n)
		}
	}
	if len(s.settings()) == 0 {
		return nil
	}
	for _, file := range localeFiles(m) {
		if err := s.write(m, file); err != nil {
			return err
		}
	}
	return nil
}

// makeLocales has those made that are not there. Debian's list of them gets all that are asked for.
func makeLocales(ctx context.Context, m *machine.Machine, needed []LocaleName) error {
	there := localesThere(ctx, m)
	for _, n := range needed {
		if m.Root.Exists(localeGen) {
			if err := m.Root.AppendLines(localeGen, 0o644, string(n)+" "+n.encoding()); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(there, n.same) {
			continue
		}
		if err := m.Root.MkdirAll(localeDir, 0o755); err != nil {
			return err
		}
		if err := m.Run(ctx, hostcmd.New("localedef", "-i", n.source(), "-f", n.encoding(), string(n))); err != nil && hostcmd.ExitStatus(err) != 1 { // warnings
			return err
		}
	}
	return nil
}

// localeFiles are the files of the image that name the locale. That of Debian is read where PAM is told so.
func localeFiles(m *machine.Machine) []string {
	if to, err := m.Root.Readlink(localeDefault); err == nil && path.Base(to) == path.Base(localeConf) {
		return []string{localeConf}
	}
	entries, _ := m.Root.ReadDir("/etc/pam.d") // an image without PAM reads only the other
	for _, e := range entries {
		text, _ := m.Root.ReadFile("/etc/pam.d/" + e.Name())
		if strings.Contains(string(text), "envfile="+localeDefault) {
			return []string{localeConf, localeDefault}
		}
	}
	return []string{localeConf}
}

// write sets the variables in a file. Others in it stay, but for LC_ALL, which would win over all.
func (s SetLocale) write(m *machine.Machine, file string) error {
	if m.Root.Exists(file) {
		if err := m.Root.EditLines(file, func(l string) (string, bool) { return l, !strings.HasPrefix(strings.TrimSpace(l), "LC_ALL=") }); err != nil {
			return err
		}
	}
	return setVariables(m, file, s.settings())
}

// Flags sets it.
func (Locale) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("locale", "LOCALE", "os.locale.lang", "Locale of the system, such as nb_NO.UTF-8.")}
}
