package rpm

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// Programs are those without which nothing can be installed any more.
func (g *Manager) Programs() []string { return []string{g.program, "rpm"} }

// refusals begin lines in which a manager says why it does not remove something; what stands there with a number, too.
var refusals = regexp.MustCompile(`(?i)^(?: *problem\b|error\b|the operation would result in|found \d+ problem|\d+\. | *- (?:cannot|problem|package|conflicting|nothing)|failed to resolve)`)

// Goes asks what a removal would do, and answers no. No repository is read for it.
func (g *Manager) Goes(ctx context.Context, m *machine.Machine, names []string) (gone []pkgmgr.Gone, err error) {
	r := &transactions{g, &pkgmgr.Session{Machine: m}, &repoSet{}}
	named, args, _, err := r.removed(ctx, names)
	if err != nil {
		return nil, err
	}
	there := map[[2]string]bool{} // by name and architecture
	if err := query(ctx, m, func(f []string) { there[[2]string{f[0], f[len(f)-1]}] = true }, "-qa", "--qf", `%{NAME}\t%{ARCH}\n`); err != nil {
		return nil, err
	}
	for _, dir := range []string{noRepos, rpmCache} {
		if err := m.Root.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if r.ownConf {
		if err := r.writeConf(m.Root); err != nil {
			return nil, err
		}
	}
	options := slices.DeleteFunc(r.commandOptions(noRepos), func(o string) bool { return o == "--assumeyes" })
	c := hostcmd.New(r.program, slices.Concat(options, []string{"--assumeno", "remove"}, args)...)
	c.Label = r.program + " --assumeno remove " + strings.Join(args, " ")
	var reasons []string
	long := "" // a name that has a line of its own
	err = pkgmgr.Watch(ctx, m, c, "", func(line string) {
		f := strings.Fields(line)
		if len(f) > 1 && there[[2]string{long, f[0]}] {
			f = append([]string{long}, f...)
		}
		if long = ""; len(f) == 1 {
			long = f[0]
		}
		switch {
		case len(f) > 2 && there[[2]string{f[0], f[1]}]:
			delete(there, [2]string{f[0], f[1]}) // one of a name is enough
			gone = append(gone, pkgmgr.Gone{Name: f[0], Named: slices.ContainsFunc(named, func(p nevra) bool { return p.name == f[0] })})
		case refusals.MatchString(line):
			reasons = append(reasons, strings.TrimSpace(line))
		}
	})
	switch { // it ends with an error, having been told no
	case ctx.Err() != nil || len(gone) == 0 && len(reasons) == 0:
		return nil, errors.Join(err, errors.New("what a removal takes away was not said"))
	case len(gone) == 0:
		return nil, &pkgmgr.Refused{Reason: strings.Join(reasons, "; ")}
	}
	return gone, nil
}
