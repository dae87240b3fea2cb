package pkgmgr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// apt is apt-get with its indexes, downloads and sources outside the image.
type apt struct {
	s       *Session
	options []string
}

const (
	aptParts  = work + "/sources.list.d"
	aptPins   = work + "/preferences.d"
	policyRCD = "/usr/sbin/policy-rc.d"
)

func newApt(ctx context.Context, s *Session, o Options) (*apt, error) {
	a := &apt{s: s}
	for _, d := range []string{aptParts, aptPins} {
		if err := s.m.Root.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	binds := map[string]string{"cache": work + "/archives", "lists": work + "/lists"}
	for _, name := range []string{"cache", "lists"} {
		if err := s.bind(filepath.Join(s.dir, name), binds[name], false); err != nil {
			return nil, err
		}
	}
	for _, o := range []string{
		"Dir::Cache::archives=" + binds["cache"], "Dir::State::lists=" + binds["lists"], "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
		"Dir::Etc::sourcelist=" + work + "/none", "Dir::Etc::sourceparts=" + aptParts, "Dir::Etc::preferencesparts=" + aptPins,
		"APT::Sandbox::User=root", "APT::Keep-Downloaded-Packages=true", "Dpkg::Use-Pty=0", "Acquire::Retries=3", "APT::Update::Error-Mode=any",
		"Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold",
		"DPkg::Post-Invoke::=", "APT::Update::Post-Invoke-Success::=",
	} {
		a.options = append(a.options, "-o", o)
	}
	if err := a.takeOver(o.NoBaseRepos); err != nil {
		return nil, err
	}
	for i, src := range o.Sources {
		if err := a.source(ctx, i, src); err != nil {
			return nil, fmt.Errorf("package source %s: %w", src.Path, err)
		}
	}
	if err := a.blockServices(); err != nil {
		return nil, err
	}
	return a, a.answer(ctx, o.Debconf)
}

// takeOver copies the image's sources and preferences to where this session's are.
func (a *apt) takeOver(noSources bool) error {
	from := map[string]string{"/etc/apt/preferences.d": aptPins}
	if !noSources {
		from["/etc/apt/sources.list.d"] = aptParts
		if err := a.copyFile("/etc/apt/sources.list", aptParts+"/00-base.list"); err != nil {
			return err
		}
	}
	for dir, to := range from {
		entries, _ := a.s.m.Root.ReadDir(dir)
		for _, e := range entries {
			if err := a.copyFile(dir+"/"+e.Name(), to+"/"+e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *apt) copyFile(from, to string) error {
	data, err := a.s.m.Root.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.s.m.Root.WriteFile(to, data, 0o644)
}

// sourcePin is the priority of the first source (apt_preferences(5)): above the image's own, which
// have 500, and below 1000, from which packages would be downgraded.
const sourcePin = 600

func (a *apt) source(ctx context.Context, i int, src Source) error {
	switch src.Kind {
	case PackageDir:
		return a.folder(ctx, i, src.Path)
	case AptFile:
		return a.sourceFile(i, src.Path)
	}
	return errors.New("this is a source for RPM packages, but the image uses apt")
}

// folder makes a flat repository of a folder of packages: an index beside a read-only view of it.
func (a *apt) folder(ctx context.Context, i int, dir string) error {
	origin := fmt.Sprintf("imagecustomizer-%02d", i)
	place := work + "/" + origin
	if err := a.s.bind(dir, place+"/packages", true); err != nil {
		return err
	}
	index, err := a.index(ctx, dir, place)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(index))
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSHA256:\n %s %d Packages\n", origin, origin, hex.EncodeToString(sum[:]), len(index))
	pin := fmt.Sprintf("Package: *\nPin: release o=%s\nPin-Priority: %d\n", origin, sourcePin+i)
	for name, text := range map[string]string{
		place + "/Packages": index, place + "/Release": release, aptPins + "/" + origin: pin,
		aptParts + "/50-" + origin + ".list": fmt.Sprintf("deb [trusted=yes] file:%s ./\n", place),
	} {
		if err := a.s.m.Root.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// index writes the Packages file of a repository. The image's own dpkg-deb reads the packages, since
// the build host may have none.
func (a *apt) index(ctx context.Context, dir, place string) (string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".deb") {
			rel, _ := filepath.Rel(dir, name)
			names = append(names, rel)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		return "", errors.Join(err, errors.New("there is no .deb file in this folder"))
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		c := hostcmd.New("dpkg-deb", "-f", path.Join(place, "packages", n))
		c.Quiet = true
		fields, err := a.s.m.Output(ctx, c)
		if err != nil {
			return "", err
		}
		size, sum, err := digest(filepath.Join(dir, n))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\nFilename: ./packages/%s\nSize: %d\nSHA256: %s\n\n", strings.TrimRight(fields, "\n"), n, size, sum)
	}
	return b.String(), nil
}

func digest(name string) (int64, string, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

var signedBy = regexp.MustCompile(`(?mi)(signed-by\s*[=:]\s*)([^\s\]]+)`)

// sourceFile takes over a .list or .sources file. A key it names by a relative path lies beside it.
func (a *apt) sourceFile(i int, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var keyErr error
	edited := signedBy.ReplaceAllStringFunc(string(text), func(match string) string {
		m := signedBy.FindStringSubmatch(match)
		if strings.HasPrefix(m[2], "-") || filepath.IsAbs(m[2]) && a.s.m.Root.Exists(m[2]) {
			return match
		}
		key := m[2]
		if !filepath.IsAbs(key) {
			key = filepath.Join(filepath.Dir(name), key)
		}
		data, err := os.ReadFile(key)
		to := fmt.Sprintf("%s/key-%02d%s", work, i, filepath.Ext(key))
		keyErr = errors.Join(keyErr, err, a.s.m.Root.WriteFile(to, data, 0o644))
		return m[1] + to
	})
	if keyErr != nil {
		return keyErr
	}
	return a.s.m.Root.WriteFile(fmt.Sprintf("%s/50-%02d%s", aptParts, i, filepath.Ext(name)), []byte(edited), 0o644)
}

// blockServices keeps packages from starting services, by the interface that invoke-rc.d(8) and
// deb-systemd-invoke(1) ask. One that the image has is put back.
func (a *apt) blockServices() error {
	root := a.s.m.Root
	const aside = policyRCD + ".imagecustomizer"
	had := root.Exists(policyRCD)
	if had {
		if err := root.Rename(policyRCD, aside); err != nil {
			return err
		}
	}
	a.s.undo = append(a.s.undo, func() error {
		if had {
			return root.Rename(aside, policyRCD)
		}
		return root.Remove(policyRCD)
	})
	return root.WriteFile(policyRCD, []byte("#!/bin/sh\nexit 101\n"), 0o755)
}

func (a *apt) answer(ctx context.Context, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	c := hostcmd.New("debconf-set-selections")
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	return a.s.m.Run(ctx, c)
}

func (a *apt) command(args ...string) *hostcmd.Cmd {
	c := hostcmd.New("apt-get", append(append([]string{"--yes", "--quiet"}, a.options...), args...)...)
	c.Label = "apt-get " + strings.Join(args, " ")
	c.Env = append([]string{"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	return c
}

func (a *apt) run(ctx context.Context, args ...string) error {
	return a.s.m.Run(ctx, a.command(args...))
}

func (a *apt) refresh(ctx context.Context) error { return a.run(ctx, "update") }

func (a *apt) remove(ctx context.Context, names []string) error {
	return a.run(ctx, append([]string{"remove", "--auto-remove"}, names...)...)
}

func (a *apt) updateAll(ctx context.Context) error {
	return a.change(ctx, "upgrade", "--with-new-pkgs")
}

func (a *apt) install(ctx context.Context, names []string) error {
	return a.change(ctx, append([]string{"install", "--no-install-recommends", "--no-install-suggests"}, names...)...)
}

func (a *apt) update(ctx context.Context, names []string) error {
	if absent, err := a.missing(ctx, names); err != nil || len(absent) > 0 {
		return errors.Join(err, fmt.Errorf("not installed, so it cannot be updated: %s", strings.Join(absent, ", ")))
	}
	return a.change(ctx, append([]string{"install", "--only-upgrade", "--no-install-recommends"}, names...)...)
}

var aptNeeds = regexp.MustCompile(`After this operation, ([0-9.,]+) ([kMG]?B) of additional disk space`)

// change compares the space that a transaction needs with what is free, then does it.
func (a *apt) change(ctx context.Context, args ...string) error {
	var need uint64
	// Answering no would not do: apt asks nothing where no package comes along with those named.
	ask := a.command(append([]string{"--print-uris"}, args...)...)
	ask.OnLine = func(line string) {
		if m := aptNeeds.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
			need = uint64(n * map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[m[2]])
		}
	}
	_ = a.s.m.Run(ctx, ask) // a failure shows in the transaction itself
	_, free, err := a.s.m.Space("/usr")
	if err == nil && need > free {
		return &NoRoom{need - free, fmt.Errorf("the packages need %d MiB, but the filesystem of /usr has only %d MiB free; use a base image with more space, or storage.resizeDisk", need>>20, free>>20)}
	}
	return a.run(ctx, args...)
}

// missing asks dpkg. The version or release that may follow a name is not looked at.
func (a *apt) missing(ctx context.Context, names []string) (absent []string, err error) {
	for _, n := range names {
		name, _, _ := strings.Cut(n, "=")
		name, _, _ = strings.Cut(name, "/")
		c := hostcmd.New("dpkg-query", "-W", "-f", "${db:Status-Status}", "--", name)
		out, err := a.s.m.Output(ctx, c)
		if err != nil && hostcmd.ExitStatus(err) < 1 {
			return nil, err
		}
		if !strings.Contains(out, "installed") || strings.Contains(out, "not-installed") {
			absent = append(absent, n)
		}
	}
	return absent, nil
}

func (a *apt) packages() string { return ".deb" }
