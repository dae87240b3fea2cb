package rpm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// rpmOutput is what matters of what tdnf, dnf and dnf5 print, and rpm below them. Each of them ends well
// where it should not.
type rpmOutput struct {
	failed  []string          // scripts of packages
	ignored []string          // repositories
	skipped []string          // packages
	missing map[string]uint64 // bytes, by the file system they are missing on
}

// failedScripts are the lines about a script that failed: of rpm, of rpm about one in Lua, of tdnf with
// rpm's own lines muted, and of dnf.
var failedScripts = regexp.MustCompile(`(?i)scriptlet failed|lua script failed|script (?:warning|error) in|error in .*scriptlet`)

// ignoredRepos are the lines about a repository that is left out.
var ignoredRepos = regexp.MustCompile(`(?i)^(?:disabling repo|ignoring repositories|error: failed to synchronize cache for repo|failed to download metadata|error: failed to download metadata|.*warning: .*repositor.* (?:ignored|skipped|disabled))`)

// skippedPackages begins a line about updates that were not made.
var skippedPackages = regexp.MustCompile(`(?i)^ *(?:skipping packages with|packages? .*excluded.*minversions|problem: cannot install the best update candidate)`)

// lacking is how rpm and dnf 4 say that a transaction does not fit. Both look before they change anything.
var lacking = regexp.MustCompile(`(?:needs ([0-9]+)(?:([KMG])B more space| more inodes)|([0-9]+)([KMG])B more space needed) on the (/\S*) filesystem`)

// perInode is how much a filesystem has to grow for one more inode, as mke2fs makes them.
const perInode = 16 << 10

func (o *rpmOutput) line(text string) {
	text = strings.TrimSpace(text)
	note := func(list *[]string, when *regexp.Regexp) {
		if when.MatchString(text) && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	note(&o.failed, failedScripts)
	note(&o.ignored, ignoredRepos)
	note(&o.skipped, skippedPackages)
	m := lacking.FindStringSubmatch(text)
	if m == nil {
		return
	}
	n, err := strconv.ParseUint(m[1]+m[3], 10, 40)
	if err != nil {
		return
	}
	unit := map[string]uint64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "": perInode}[m[2]+m[4]]
	if o.missing == nil {
		o.missing = map[string]uint64{}
	}
	o.missing[m[5]] = max(o.missing[m[5]], (n+1)*unit) // rpm adds up, so the last line has the whole
}

// err is why the transaction has not done what it was to do, given how the command ended.
func (o *rpmOutput) err(f *machine.Facts, err error) error {
	if err != nil {
		if n := o.missing[f.FilesystemOf("/usr").MountPoint]; n > 0 && len(o.missing) == 1 {
			return &pkgmgr.NoRoom{Missing: n, Err: err}
		}
		return err
	}
	if len(o.failed) > 0 {
		return fmt.Errorf("a package's script failed: %s", strings.Join(o.failed, "; "))
	}
	if len(o.ignored) > 0 {
		return fmt.Errorf("a repository was left out: %s", strings.Join(o.ignored, "; "))
	}
	return nil
}
