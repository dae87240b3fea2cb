package apt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// transactions are those of apt-get with its indexes, downloads and sources outside the image.
type transactions struct {
	s       *pkgmgr.Session
	plan    *aptPlan
	index   *aptIndex // nil until it was read
	options []string
	seen    *pkgmgr.Indexes // of the sources, as the run has read them before
}

const (
	aptParts = pkgmgr.Work + "/sources.list.d"
	aptPins  = pkgmgr.Work + "/preferences.d"
)

// aptFolders are the session's folders that apt works in. What apt makes of the indexes for itself is
// kept from one command to the next, and never longer: a program of the image has written it.
var aptFolders = map[string]string{"cache": pkgmgr.Work + "/archives", "lists": pkgmgr.Work + "/lists", "parsed": pkgmgr.Work + "/parsed"}

// aptOptions make apt work in our folders, fetch nothing that is of no use to an installation, and leave
// alone what the image's own configuration would do afterwards.
var aptOptions = []string{
	"Dir::Cache::archives=" + aptFolders["cache"], "Dir::State::lists=" + aptFolders["lists"],
	"Dir::Cache::pkgcache=" + aptFolders["parsed"] + "/pkgcache.bin", "Dir::Cache::srcpkgcache=" + aptFolders["parsed"] + "/srcpkgcache.bin",
	"Dir::Etc::sourcelist=" + pkgmgr.Work + "/none", "Dir::Etc::sourceparts=" + aptParts, "Dir::Etc::preferencesparts=" + aptPins,
	"Acquire::Languages=none", "Acquire::PDiffs=false", "Acquire::GzipIndexes=false",
	"Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false", "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
	"APT::Sandbox::User=root", "APT::Keep-Downloaded-Packages=true", "Dpkg::Use-Pty=0", "Acquire::Retries=3", "APT::Update::Error-Mode=any",
	"Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold",
	"DPkg::Post-Invoke::=", "APT::Update::Post-Invoke-Success::=",
}

// Begin shows the sources of packages to the image.
func (Manager) Begin(ctx context.Context, s *pkgmgr.Session, o pkgmgr.Options) (pkgmgr.Transactions, error) {
	a := &transactions{s: s, seen: o.Indexes}
	for name, place := range aptFolders {
		if err := s.Bind(filepath.Join(s.Dir, name), place, false); err != nil {
			return nil, err
		}
	}
	for _, o := range aptOptions {
		a.options = append(a.options, "-o", o)
	}
	var err error
	if a.plan, err = planApt(s.Machine, o); err != nil {
		return nil, err
	}
	if err := a.plan.write(s); err != nil {
		return nil, err
	}
	if err := blockServices(s); err != nil {
		return nil, err
	}
	return a, a.answer(ctx, o.Debconf)
}

func (a *transactions) answer(ctx context.Context, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	c := hostcmd.New("debconf-set-selections")
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	return a.s.Watch(ctx, c, func(string) {})
}

func (a *transactions) command(args ...string) *hostcmd.Cmd {
	c := hostcmd.New("apt-get", append(append([]string{"--yes", "--quiet"}, a.options...), args...)...)
	c.Label = "apt-get " + strings.Join(args, " ")
	c.Env = append([]string{"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	return c
}

func (a *transactions) run(ctx context.Context, args ...string) error {
	return a.s.Watch(ctx, a.command(args...), func(string) {})
}

// Refresh fetches the indexes, and lets apt check their signatures and read what we could not.
func (a *transactions) Refresh(ctx context.Context) error {
	if a.s.Store != nil && a.index == nil {
		if read, is := a.seen.Read().(*aptIndex); is {
			a.index = read.with(a.s.Store)
		} else {
			a.index = fetchApt(ctx, a.s.Store, a.plan.entries, debArchs(a.s.Machine))
		}
		if err := a.showIndex(ctx); err != nil {
			a.s.Machine.Log.Debug("the indexes are apt's to fetch", "error", err)
		}
	}
	err := a.s.Receiving(ctx, func(ctx context.Context) error { return a.run(ctx, "update") })
	if err != nil && len(a.plan.entries) > 0 {
		return fmt.Errorf("%w\n    the image's sources are %s; --disable-base-image-rpm-repos leaves them out", err, a.plan.places())
	}
	return err
}

func (a *transactions) showIndex(ctx context.Context) error {
	lists, err := rootfs.New(filepath.Join(a.s.Dir, "lists"))
	if err != nil {
		return err
	}
	defer lists.Close()
	return a.index.put(ctx, lists)
}

func (a *transactions) Remove(ctx context.Context, names []string) error {
	wishes := parseDebWishes(names)
	if err := a.run(ctx, slices.Concat(removeArgs, names)...); err != nil {
		return err
	}
	absent, err := without(a.s.Machine.Root, wishes, debWish.named)
	if err == nil && len(absent) < len(wishes) {
		err = fmt.Errorf("apt-get reported success, but of these some are still installed: %s", strings.Join(names, ", "))
	}
	return err
}

func (a *transactions) UpdateAll(ctx context.Context) error {
	return a.change(ctx, "upgrade", "--with-new-pkgs")
}

func (a *transactions) Install(ctx context.Context, names []string) error {
	return a.change(ctx, append([]string{"install", "--no-install-recommends", "--no-install-suggests"}, withVersions(names)...)...)
}

func (a *transactions) Update(ctx context.Context, names []string) error {
	if absent, err := a.Missing(ctx, names); err != nil || len(absent) > 0 {
		return errors.Join(err, fmt.Errorf("not installed, so it cannot be updated: %s", strings.Join(absent, ", ")))
	}
	return a.change(ctx, append([]string{"install", "--only-upgrade", "--no-install-recommends"}, withVersions(names)...)...)
}

// withVersions lets apt go back to a version that is asked for by its number.
func withVersions(names []string) []string {
	if slices.ContainsFunc(names, func(n string) bool { return parseDebWish(n).version != "" }) {
		return append([]string{"--allow-downgrades"}, names...)
	}
	return names
}

// aptNeeds is how apt says what a transaction takes, and aptFetch one file that it would download.
var (
	aptNeeds = regexp.MustCompile(`After this operation, ([0-9.,]+) ([kMG]?B) of additional disk space`)
	aptFetch = regexp.MustCompile(`^'[^']*' (\S+\.deb) [0-9]+ SHA256:([0-9a-f]{64})$`)
)

// change compares the space that a transaction needs with what is free, puts the packages that other
// runs have downloaded where apt looks for them, then does it.
func (a *transactions) change(ctx context.Context, args ...string) error {
	var need uint64
	var offers error
	var going []string // that make way for others
	inList := false
	// Answering no would not do: apt asks nothing where no package comes along with those named.
	ask := a.command(append([]string{"-o", "Acquire::ForceHash=SHA256", "--print-uris"}, args...)...)
	_ = a.s.Watch(ctx, ask, func(line string) { // a failure shows in the transaction itself
		if inList = inList && strings.HasPrefix(line, " "); inList {
			going = append(going, strings.Fields(line)...)
		}
		inList = inList || strings.HasPrefix(line, "The following packages will be REMOVED")
		if m := aptNeeds.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
			need = uint64(n * map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[m[2]])
		}
		if m := aptFetch.FindStringSubmatch(line); m != nil {
			if d, ok := pkgmgr.ParseDigest(m[2]); ok && filepath.Base(m[1]) == m[1] {
				offers = errors.Join(offers, a.s.Offer(d, m[1]))
			}
		}
	})
	if offers != nil {
		return offers
	}
	if len(going) > 0 {
		a.s.Machine.Log.Info("these packages make way for others", "packages", going)
	}
	_, free, err := a.s.Machine.Space("/usr")
	if err == nil && need > free {
		return &pkgmgr.NoRoom{Missing: need - free, Err: fmt.Errorf("the packages need %d MiB, but the filesystem of /usr has only %d MiB free; use a base image with more space, or storage.resizeDisk", need>>20, free>>20)}
	}
	return a.run(ctx, args...)
}

// Missing asks dpkg's database, by name and by what packages stand for.
func (a *transactions) Missing(_ context.Context, names []string) (texts []string, err error) {
	absent, err := without(a.s.Machine.Root, parseDebWishes(names), debWish.satisfied)
	for _, w := range absent {
		texts = append(texts, w.text)
	}
	return texts, err
}

// Named looks for the files in the indexes that we fetched.
func (a *transactions) Named(files map[pkgmgr.Digest]string, use func(pkgmgr.Digest) error) error {
	if a.index == nil {
		return nil
	}
	var errs []error
	errs = append(errs, a.index.each(func(s *stanza) {
		if d, ok := pkgmgr.ParseDigest(string(s.sum)); ok && files[d] != "" {
			errs = append(errs, use(d))
			delete(files, d)
		}
	}))
	return errors.Join(errs...)
}
