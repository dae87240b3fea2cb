package rpm

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// TDNF is tdnf, of Azure Linux and Mariner. It uses a repository only if that says that it is enabled.
var TDNF = &Manager{
	program: "tdnf",
	conf:    "/etc/tdnf/tdnf.conf", dirKeys: []string{"repodir", "reposdir"}, dirs: []string{"/etc/yum.repos.d"},
	defaultPriority: 50,
	ownConf:         true, compare: true,
}

const ownConf = pkgmgr.Work + "/tdnf/tdnf.conf"

// besideConf are the folders that tdnf looks for beside its configuration file.
var besideConf = []string{"protected.d", "locks.d", "minversions.d"}

// writeConf makes a configuration that keeps downloads, which tdnf takes from no option, and keeps them
// where the session's are. What lies beside the image's own is linked, or tdnf would do without.
func (g *Manager) writeConf(root *rootfs.Root) error {
	text, err := root.ReadFile(g.conf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.MkdirAll(path.Dir(ownConf), 0o755); err != nil {
		return err
	}
	for _, dir := range besideConf {
		link := path.Join(path.Dir(ownConf), dir)
		if err := errors.Join(root.Remove(link), root.Symlink(path.Join(path.Dir(g.conf), dir), link)); err != nil { // of a session before
			return err
		}
	}
	return root.WriteFile(ownConf, []byte(withSettings(string(text), "keepcache=1", "cachedir="+rpmCache)), 0o644)
}

// withSettings puts settings into the section [main] in the place of those of the same name.
func withSettings(text string, settings ...string) string {
	set := map[string]bool{}
	for _, s := range settings {
		key, _, _ := strings.Cut(s, "=")
		set[key] = true
	}
	var lines []string
	done := false
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimRight(line, "\r\n")
		if key, _, is := strings.Cut(line, "="); is && set[strings.TrimSpace(key)] {
			continue
		}
		lines = append(lines, line)
		if head := sectionHead.FindStringSubmatch(strings.TrimSpace(line)); head != nil && head[1] == mainSection && !done {
			lines, done = append(lines, settings...), true
		}
	}
	if !done {
		lines = append(append([]string{"[" + mainSection + "]"}, settings...), lines...)
	}
	return strings.Join(lines, "\n") + "\n"
}
