package pkgmgr

import (
	"errors"
	"io/fs"
	"strings"

	"imagecustomizer/internal/rootfs"
)

const (
	tdnfConf = "/etc/tdnf/tdnf.conf"
	ownConf  = work + "/tdnf/tdnf.conf"
)

// besideTDNF are the folders that tdnf looks for beside its configuration file.
var besideTDNF = []string{"protected.d", "locks.d", "minversions.d"}

// writeTDNFConf makes a configuration that keeps downloads, which tdnf takes from no option, and keeps them
// where the session's are. What lies beside the image's own is linked, or tdnf would do without.
func writeTDNFConf(root *rootfs.Root) error {
	text, err := root.ReadFile(tdnfConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.MkdirAll(work+"/tdnf", 0o755); err != nil {
		return err
	}
	for _, dir := range besideTDNF {
		if err := root.Symlink("/etc/tdnf/"+dir, work+"/tdnf/"+dir); err != nil {
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
