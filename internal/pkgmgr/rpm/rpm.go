package rpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/pkgmgr"
)

// transactions are those of a session.
type transactions struct {
	*Manager
	s     *pkgmgr.Session
	repos *repoSet
}

const (
	reposDir = pkgmgr.Work + "/repos"
	noRepos  = pkgmgr.Work + "/no-repos"
	rpmCache = pkgmgr.Work + "/cache"
	// rpmMacros is read by every rpm, and of a name that nobody else has.
	rpmMacros = "/etc/rpm/macros.zz-imagecustomizer"
)

// macros switch off a plugin of rpm 4.20 and newer that needs CAP_SYS_ADMIN: every script would end with 126.
const macros = "%__transaction_unshare %{nil}\n"

// Begin shows the sources of packages to the image.
func (g *Manager) Begin(ctx context.Context, s *pkgmgr.Session, o pkgmgr.Options) (pkgmgr.Transactions, error) {
	r := &transactions{g, s, g.readRepos(s.Machine, o)}
	if len(r.repos.faults) > 0 {
		return nil, faultError(r.repos.faults)
	}
	if err := s.Bind(s.Downloads(), rpmCache, false); err != nil {
		return nil, err
	}
	for _, dir := range []string{reposDir, noRepos} {
		if err := s.Machine.Root.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := r.writeMacros(); err != nil {
		return nil, err
	}
	if r.ownConf {
		if err := r.writeConf(s.Machine.Root); err != nil {
			return nil, err
		}
	}
	return r, r.writeRepos(ctx)
}

func faultError(faults []pkgmgr.Fault) error {
	var errs []error
	for _, f := range faults {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

func (r *transactions) writeMacros() error {
	root, dir := r.s.Machine.Root, filepath.Dir(rpmMacros)
	if !root.Exists(dir) {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		r.s.Undo(func() error {
			_ = root.Remove(dir) // unless a package has put something there
			return nil
		})
	}
	r.s.Undo(func() error { return root.Remove(rpmMacros) })
	return root.WriteFile(rpmMacros, []byte(macros), 0o644)
}

// writeRepos makes the one file that the package manager reads, and shows it what that names.
func (r *transactions) writeRepos(ctx context.Context) error {
	for i, f := range r.repos.folders {
		if err := r.index(ctx, f, filepath.Join(r.s.Dir, fmt.Sprintf("repo%02d", i))); err != nil {
			return fmt.Errorf("package source %s: %w", f.path, err)
		}
	}
	for _, f := range r.repos.shown {
		if f.dir {
			if err := r.s.Bind(f.from, f.place, true); err != nil {
				return err
			}
			continue
		}
		data, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		if err := r.s.Machine.Root.WriteFile(f.place, data, 0o600); err != nil { // it may be a private key
			return err
		}
	}
	var all strings.Builder
	for _, s := range r.repos.sections {
		s.write(&all)
	}
	return r.s.Machine.Root.WriteFile(reposDir+"/all.repo", []byte(all.String()), 0o600)
}

// index makes a repository of a folder of packages. Its metadata lie in our scratch space; the folder
// itself is only read.
func (r *transactions) index(ctx context.Context, f folder, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	c := hostcmd.New("createrepo_c", "--quiet", "--no-database", "--compatibility", "--location-prefix", "packages/", "--outputdir", out, f.path).Reading(f.path).Writing(out)
	if err := c.Run(ctx); err != nil {
		return err
	}
	if err := r.s.Bind(out, f.place, false); err != nil {
		return err
	}
	return r.s.Bind(f.path, f.place+"/packages", true)
}

// options are what makes the three behave alike. That a repository is down is never passed over.
func (r *transactions) commandOptions(repos string) []string {
	options := []string{"--assumeyes", "--setopt=reposdir=" + repos}
	if r.ownConf {
		return append([]string{"-c", ownConf}, options...)
	}
	options = append(options, r.Manager.options...)
	if repos == reposDir && len(r.repos.sections) > 0 { // dnf5 refuses a setting for no repository
		options = append(options, "--setopt=*.skip_if_unavailable=0")
	}
	return append(options, "--setopt=cachedir="+rpmCache, "--setopt=keepcache=1")
}

// run runs one transaction. Whether it fits is checked before anything is changed.
func (r *transactions) run(ctx context.Context, repos string, args ...string) (*rpmOutput, error) {
	out := &rpmOutput{}
	c := hostcmd.New(r.program, append(r.commandOptions(repos), args...)...)
	c.Env = append([]string{"SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	c.Label = r.program + " " + strings.Join(args, " ")
	err := r.s.Watch(ctx, c, out.line)
	return out, out.err(r.s.Machine.Facts, err)
}

// Refresh reads the indexes and makes sure that all are there.
func (r *transactions) Refresh(ctx context.Context) error {
	var out *rpmOutput
	err := r.s.Receiving(ctx, func(ctx context.Context) (err error) {
		out, err = r.run(ctx, reposDir, "check-update", "--refresh")
		return err
	})
	if hostcmd.ExitStatus(err) == 100 { // there are updates
		err = nil
	}
	if context.Cause(ctx) != nil {
		return err
	}
	if unread := r.unread(out); len(unread) > 0 {
		return errors.Join(fmt.Errorf("these repositories could not be read: %s (that they may be skipped if unavailable does not count here)", strings.Join(unread, ", ")), err)
	}
	return err
}

// unread are the enabled repositories of which no index was stored, or which the package manager names as
// left out: one that is badly signed has an index.
func (r *transactions) unread(out *rpmOutput) (list []string) {
	left := strings.FieldsFunc(strings.Join(out.ignored, " "), func(c rune) bool { return strings.ContainsRune(" ',\":", c) })
	for _, s := range r.repos.enabled() {
		index, _ := filepath.Glob(r.received(globEscape.Replace(s.id)+"*", "repodata", "repomd.xml"))
		if len(index) == 0 || slices.Contains(left, s.id) || slices.Contains(left, s.get("name")) {
			list = append(list, s.id)
		}
	}
	return list
}

var globEscape = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

// Remove removes what is installed of the wishes: patterns and what packages provide are not taken alike.
func (r *transactions) Remove(ctx context.Context, names []string) error {
	gone, args, stay, err := r.removed(ctx, names)
	if err != nil {
		return err
	}
	if _, err := r.run(ctx, noRepos, append([]string{"remove"}, args...)...); err != nil {
		return err
	}
	return r.mustBe(ctx, gone, stay)
}

// removed are the packages that are meant, what to call them, and those of the same names that stay.
func (r *transactions) removed(ctx context.Context, names []string) (gone []nevra, args []string, stay []nevra, err error) {
	wishes := parseWishes(names)
	there, err := r.look(ctx, wishes)
	if err != nil {
		return nil, nil, nil, err
	}
	var groups []string
	for i, w := range wishes {
		if w.group() {
			groups = append(groups, w.text)
		}
		gone = append(gone, there[i].packages()...)
	}
	gone = unique(gone)
	args, stay, err = r.spell(ctx, gone)
	return gone, append(args, groups...), stay, err
}

func unique(list []nevra) (once []nevra) {
	for _, p := range list {
		if !slices.Contains(once, p) {
			once = append(once, p)
		}
	}
	return once
}

// spell returns what to call packages that go, by their full name only where another of that name stays.
// Those that stay are returned: an old tdnf removes all of one name.
func (r *transactions) spell(ctx context.Context, gone []nevra) (args []string, stay []nevra, err error) {
	var names []string
	for _, p := range gone {
		names = append(names, p.name)
	}
	there, err := r.look(ctx, parseWishes(names))
	if err != nil {
		return nil, nil, err
	}
	for i, p := range gone {
		others := slices.DeleteFunc(there[i].named, func(o nevra) bool { return slices.Contains(gone, o) })
		if len(others) > 0 {
			args, stay = append(args, p.String()), append(stay, others...)
		} else if !slices.Contains(args, p.name) {
			args = append(args, p.name)
		}
	}
	return args, unique(stay), nil
}

// mustBe compares the package database with what a removal was to make of it.
func (r *transactions) mustBe(ctx context.Context, gone, there []nevra) error {
	var names, wrong []string
	for _, p := range slices.Concat(gone, there) {
		names = append(names, p.String())
	}
	found, err := r.look(ctx, parseWishes(names))
	if err != nil {
		return err
	}
	for i := range found {
		if is, should := len(found[i].named) > 0, i >= len(gone); is != should {
			wrong = append(wrong, names[i]+map[bool]string{true: " is still installed", false: " is gone too"}[is])
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s reported success, but %s", r.program, strings.Join(wrong, ", "))
	}
	return nil
}

func (r *transactions) UpdateAll(ctx context.Context) error {
	out, err := r.transact(ctx, "update")
	if err == nil && len(out.skipped) > 0 {
		r.s.Machine.Log.Warn("some updates were left out", "because", out.skipped)
	}
	return err
}

func (r *transactions) Install(ctx context.Context, names []string) error {
	_, err := r.transact(ctx, append([]string{"install"}, arguments(names)...)...)
	return err
}

// Update fails for what is not installed, which the three take each in its own way, and for an update
// that cannot be made.
func (r *transactions) Update(ctx context.Context, names []string) error {
	absent, err := r.notThere(ctx, names, wish.nearly)
	if err != nil || len(absent) > 0 {
		return errors.Join(err, fmt.Errorf("not installed, so it cannot be updated: %s", strings.Join(absent, ", ")))
	}
	_, err = r.transact(ctx, slices.Concat(r.best, []string{"update"}, arguments(names))...)
	return err
}

func arguments(names []string) (args []string) {
	for _, w := range parseWishes(names) {
		args = append(args, w.argument())
	}
	return args
}

// Missing are the names of which nothing is installed.
func (r *transactions) Missing(ctx context.Context, names []string) (absent []string, err error) {
	return r.notThere(ctx, names, wish.names)
}

func (r *transactions) notThere(ctx context.Context, names []string, same func(wish, nevra) bool) (absent []string, err error) {
	wishes := parseWishes(names)
	there, err := r.lookBy(ctx, wishes, same)
	if err != nil {
		return nil, err
	}
	for i, w := range wishes {
		is := there[i].there()
		if w.group() {
			if is, err = r.hasGroup(ctx, w.text[1:]); err != nil {
				return nil, err
			}
		}
		if !is {
			absent = append(absent, w.text)
		}
	}
	return absent, nil
}

// hasGroup asks for a group of packages by its identifier.
func (r *transactions) hasGroup(ctx context.Context, id string) (is bool, err error) {
	if r.groups == nil {
		return false, fmt.Errorf("%s knows no groups of packages: @%s", r.program, id)
	}
	c := hostcmd.New(r.program, append(r.commandOptions(reposDir), r.groups...)...)
	err = r.s.Watch(ctx, c, func(line string) {
		f := strings.Fields(line)
		is = is || len(f) > 0 && f[0] == id || strings.Contains(line, "("+id+")")
	})
	return is, err
}
