package pkgmgr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// rpm is tdnf or dnf, which take the same commands.
type rpm struct {
	s       *Session
	program string
	failed  []string // scriptlets that failed, which the managers report but do not fail for
}

// rpmCaches are the managers' cache folders in an image.
var rpmCaches = map[string][]string{"tdnf": {"/var/cache/tdnf", "/var/cache/dnf"}, "dnf": {"/var/cache/dnf", "/var/cache/libdnf5"}}

const (
	reposDir = work + "/repos"
	repoFile = reposDir + "/all.repo"
)

func newRPM(ctx context.Context, s *Session, o Options) (*rpm, error) {
	r := &rpm{s: s, program: s.m.Facts.PackageManager}
	if r.program == "dnf" && !s.m.Has("dnf") {
		r.program = "dnf5"
	}
	for _, c := range rpmCaches[s.m.Facts.PackageManager] {
		if err := s.bind(filepath.Join(s.dir, "cache"), c, false); err != nil {
			return nil, err
		}
	}
	if err := s.m.Root.MkdirAll(reposDir, 0o755); err != nil {
		return nil, err
	}
	var all strings.Builder
	if !o.NoBaseRepos {
		if err := r.baseRepos(&all); err != nil {
			return nil, err
		}
	}
	for i, src := range o.Sources {
		if err := r.source(ctx, &all, i, src); err != nil {
			return nil, fmt.Errorf("package source %s: %w", src.Path, err)
		}
	}
	return r, s.m.Root.WriteFile(repoFile, []byte(all.String()), 0o600)
}

// Priorities, of which the lower wins. Those of the image's repositories keep their order among
// themselves behind all others.
const (
	sourcePriority = 90  // of the first source; each later one has one less
	basePriority   = 100 // added to what a repository of the image says
)

// baseRepos takes over the image's repositories.
func (r *rpm) baseRepos(all *strings.Builder) error {
	entries, _ := r.s.m.Root.ReadDir("/etc/yum.repos.d")
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".repo") {
			continue
		}
		name := "/etc/yum.repos.d/" + e.Name()
		text, err := r.s.m.Root.ReadFile(name)
		if err != nil {
			return err
		}
		sections, err := parseRepos(string(text))
		if err != nil {
			return fmt.Errorf("%s of the image: %w", name, err)
		}
		for _, sec := range sections {
			sec.set("priority", fmt.Sprint(basePriority+sec.priority()))
			sec.write(all)
		}
	}
	return nil
}

func (r *rpm) source(ctx context.Context, all *strings.Builder, i int, src Source) error {
	switch src.Kind {
	case PackageDir:
		return r.folder(ctx, all, i, src.Path)
	case RepoFile:
		return r.repoFile(all, i, src.Path)
	}
	return errors.New("this is a source for apt, but the image uses " + r.program)
}

// folder makes a repository of a folder of packages. Its metadata lie in our scratch space; the
// folder itself is only read.
func (r *rpm) folder(ctx context.Context, all *strings.Builder, i int, dir string) error {
	out := filepath.Join(r.s.dir, fmt.Sprintf("repo%02d", i))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	c := hostcmd.New("createrepo_c", "--quiet", "--no-database", "--compatibility", "--location-prefix", "packages/", "--outputdir", out, dir)
	if err := c.Run(ctx); err != nil {
		return err
	}
	place := fmt.Sprintf("%s/%02d", work, i)
	if err := r.s.bind(out, place, false); err != nil {
		return err
	}
	if err := r.s.bind(dir, place+"/packages", true); err != nil {
		return err
	}
	sec := &section{id: fmt.Sprintf("imagecustomizer-%02d", i)}
	for _, kv := range [][2]string{
		{"name", filepath.Base(dir)},
		{"baseurl", "file://" + place},
		{"enabled", "1"},
		{"gpgcheck", "0"},
		{"repo_gpgcheck", "0"},
		{"priority", fmt.Sprint(sourcePriority - i)},
		{"metadata_expire", "1"},
	} {
		sec.set(kv[0], kv[1])
	}
	sec.write(all)
	return nil
}

// repoFile takes over the repositories of a .repo file, with its local files shown in the image.
func (r *rpm) repoFile(all *strings.Builder, i int, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	sections, err := parseRepos(string(text))
	if err != nil {
		return err
	}
	n := 0
	show := func(path string) (string, error) {
		fi, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		place := fmt.Sprintf("%s/%02d-%02d", work, i, n)
		n++
		if fi.IsDir() {
			return "file://" + place, r.s.bind(path, place, true)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return "file://" + place, r.s.m.Root.WriteFile(place, data, 0o644)
	}
	for _, sec := range sections {
		for _, key := range []string{"baseurl", "gpgkey"} {
			if err := sec.localize(key, filepath.Dir(name), show); err != nil {
				return fmt.Errorf("[%s] %s: %w", sec.id, key, err)
			}
		}
		sec.set("priority", fmt.Sprint(sourcePriority-i))
		sec.write(all)
	}
	return nil
}

// rpmNeeds is how dnf and tdnf say that a transaction does not fit.
var rpmNeeds = regexp.MustCompile(`([0-9]+)([KMG])B(?: more space)? (?:is )?needed on the (?:/\S*) filesystem`)

// run runs one transaction. Whether it fits is checked before anything is changed.
func (r *rpm) run(ctx context.Context, args ...string) error {
	missing := uint64(0)
	r.failed = nil
	c := hostcmd.New(r.program, append([]string{"--assumeyes", "--setopt=reposdir=" + reposDir}, args...)...)
	c.Env = append([]string{"SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	c.OnLine = func(line string) {
		if m := rpmNeeds.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseUint(m[1], 10, 32)
			missing = max(missing, (n+1)*map[string]uint64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[m[2]])
		}
		if l := strings.ToLower(line); strings.Contains(l, "scriptlet failed") || strings.Contains(l, "error in") && strings.Contains(l, "scriptlet") {
			r.failed = append(r.failed, strings.TrimSpace(line))
		}
	}
	if err := r.s.m.Run(ctx, c); err != nil {
		if missing > 0 {
			return &NoRoom{missing, err}
		}
		return err
	}
	if len(r.failed) > 0 {
		return fmt.Errorf("a package's script failed: %s", strings.Join(r.failed, "; "))
	}
	return nil
}

func (r *rpm) refresh(ctx context.Context) error {
	args := []string{"check-update", "--refresh"}
	if err := r.run(ctx, args...); err != nil && hostcmd.ExitStatus(err) != 100 { // 100: there are updates
		return err
	}
	return nil
}

func (r *rpm) remove(ctx context.Context, names []string) error {
	return r.run(ctx, append([]string{"--disablerepo=*", "remove"}, names...)...)
}

func (r *rpm) updateAll(ctx context.Context) error { return r.run(ctx, "update") }

func (r *rpm) install(ctx context.Context, names []string) error {
	return r.run(ctx, append([]string{"install"}, names...)...)
}

func (r *rpm) update(ctx context.Context, names []string) error {
	return r.run(ctx, append([]string{"update"}, names...)...)
}

// notInstalled is the exit status of rpm -q for one package that is not there.
const notInstalled = 1

// missing asks the package database, by name and by what packages provide. Names with wild cards and
// groups of packages cannot be asked for.
func (r *rpm) missing(ctx context.Context, names []string) (absent []string, err error) {
	for _, n := range names {
		if strings.ContainsAny(n, "*?[@") {
			continue
		}
		err := r.s.m.Run(ctx, hostcmd.New("rpm", "-q", "--", n))
		if hostcmd.ExitStatus(err) == notInstalled {
			err = r.s.m.Run(ctx, hostcmd.New("rpm", "-q", "--whatprovides", "--", n))
		}
		switch {
		case hostcmd.ExitStatus(err) == notInstalled:
			absent = append(absent, n)
		case err != nil:
			return nil, err
		}
	}
	return absent, nil
}

func (r *rpm) packages() string { return ".rpm" }
