package apt

import (
	"context"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// Programs are those without which nothing can be installed any more.
func (Manager) Programs() []string { return []string{"apt-get", "dpkg"} }

// Goes has apt simulate the removal, without sources and caches of the image.
func (Manager) Goes(ctx context.Context, m *machine.Machine, names []string) (gone []pkgmgr.Gone, err error) {
	args := []string{
		"--yes", "--quiet", "--simulate", "-o", "Debug::NoLocking=true", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "Dir::State::lists=" + pkgmgr.Work + "/none", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=/dev/null",
	}
	c := hostcmd.New("apt-get", append(append(args, removeArgs...), names...)...)
	c.Label = "apt-get --simulate remove " + strings.Join(names, " ")
	var reasons []string
	wishes := parseDebWishes(names)
	err = pkgmgr.Watch(ctx, m, c, "", func(line string) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && (words[0] == "Remv" || words[0] == "Purg"):
			gone = append(gone, goneOf(words[1], wishes))
		case strings.HasPrefix(line, "E: "):
			reasons = append(reasons, strings.TrimPrefix(line, "E: "))
		}
	})
	if hostcmd.ExitStatus(err) > 0 && len(reasons) > 0 && ctx.Err() == nil {
		return nil, &pkgmgr.Refused{Reason: strings.Join(reasons, "; ")}
	}
	return gone, err
}

// removeArgs are the command of a removal.
var removeArgs = []string{"remove", "--auto-remove"}

func goneOf(name string, wishes []debWish) pkgmgr.Gone {
	name, arch, _ := strings.Cut(name, ":")
	s := &stanza{name: []byte(name), arch: []byte(arch)}
	for _, w := range wishes {
		w.version = ""
		if arch == "" {
			w.arch = ""
		}
		if w.named(s) {
			return pkgmgr.Gone{Name: name, Named: true}
		}
	}
	return pkgmgr.Gone{Name: name}
}
