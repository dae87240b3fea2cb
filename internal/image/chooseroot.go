package image

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// Choice names the root of an image in which more than one filesystem could be it.
type Choice struct {
	Device    string // number of the partition, or a name of it as in fstab; empty for any
	Subvolume string // path of the btrfs subvolume, "/" for the top one; empty for any
}

// chooseBy is how a user makes a Choice.
const chooseBy = "--root-device (a partition's number, or UUID=... and the like) and --root-subvolume (its path in a btrfs)"

// candidate is a filesystem, or a subvolume of one, that may be the root.
type candidate struct {
	volume    disk.Volume
	subvolume subvolume
	fstab     disk.Fstab
}

// subvolume is one of a btrfs; on other filesystems there is only the one without a path.
type subvolume struct {
	path      string // empty for the top one
	id        int
	readOnly  bool
	isDefault bool // mounted where none is named
}

func (c candidate) String() string {
	if c.subvolume.path == "" {
		return fmt.Sprintf("partition %d", c.volume.Number)
	}
	return fmt.Sprintf("partition %d subvolume %s", c.volume.Number, c.subvolume.path)
}

func list(candidates []candidate) string {
	var names []string
	for _, c := range candidates {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

// look is what there is in all filesystems of an image.
type look struct {
	found   []candidate // with an fstab
	others  []candidate
	roots   []string // values of root= in boot entries
	subvols []string // subvolumes that boot entries name
}

// likeliest leaves those out that have fewer marks of a root than others: that its own fstab names it (that
// of a snapshot names what it was made of, that of a container nothing), that it can be written to, that boot
// entries name it, and that it is the default subvolume.
func (d *Disk) likeliest(l look) []candidate {
	found := l.found
	for _, own := range []int{2, 1} {
		if some := keep(found, func(c candidate) bool { return c.names(d.Volumes) >= own }); len(some) > 0 {
			found = some
			break
		}
	}
	for _, mark := range []func(c candidate) bool{
		func(c candidate) bool { return !c.subvolume.readOnly },
		func(c candidate) bool { return slices.Contains(l.subvols, path.Clean("/"+c.subvolume.path)) },
		func(c candidate) bool { return d.bootsFrom(c.volume, l.roots) },
		func(c candidate) bool { return c.subvolume.isDefault },
	} {
		if some := keep(found, mark); len(some) > 0 {
			found = some
		}
	}
	return found
}

func keep(list []candidate, f func(c candidate) bool) (kept []candidate) {
	for _, c := range list {
		if f(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// names tells whether the fstab names, as the root, where it lies: 2 if so, 0 if it names something else, 1
// if nothing is said.
func (c candidate) names(volumes []disk.Volume) int {
	for _, claim := range c.fstab.Claims(volumes) {
		switch {
		case claim.Target != "/":
		case claim.Volume == nil && claim.Why == "":
			return 1 // a device that only the running system makes
		case claim.Volume == nil, claim.Volume.Number != c.volume.Number, c.volume.Content.Type == "btrfs" && !c.subvolume.named(claim.Options):
			return 0
		default:
			return 2
		}
	}
	return 1
}

// named tells whether mount options choose the subvolume.
func (s subvolume) named(options []string) bool {
	for _, o := range options {
		if name, ok := strings.CutPrefix(o, "subvol="); ok {
			return path.Clean("/"+name) == "/"+s.path
		}
		if id, ok := strings.CutPrefix(o, "subvolid="); ok {
			return id == strconv.Itoa(s.id)
		}
	}
	return s.isDefault
}

// bootsFrom tells whether boot entries name the volume as the root.
func (d *Disk) bootsFrom(v disk.Volume, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		found, err := disk.Find(d.Volumes, root)
		return err == nil && found.Number == v.Number
	})
}

// chosen is the filesystem that the user has named, or that was the root before.
func (d *Disk) chosen(all []candidate, problems []error) (candidate, error) {
	found := keep(all, func(c candidate) bool { return d.choice.is(c, d.Volumes) })
	if len(found) > 1 {
		if some := keep(found, func(c candidate) bool { return c.fstab != nil }); len(some) > 0 {
			found = some
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	what := strings.TrimSpace(d.choice.Device + " " + d.choice.Subvolume)
	if len(found) > 1 {
		return candidate{}, fmt.Errorf("%s, which was named as the root, is each of %s; choose with both %s", what, list(found), chooseBy)
	}
	none := fmt.Errorf("%s, which was named as the root, is none of %s", what, list(all))
	return candidate{}, errors.Join(append([]error{none}, problems...)...)
}

func (choice Choice) is(c candidate, volumes []disk.Volume) bool {
	if choice.Subvolume != "" && path.Clean("/"+choice.Subvolume) != "/"+c.subvolume.path {
		return false
	}
	if choice.Device == "" || choice.Device == strconv.Itoa(c.volume.Number) {
		return true
	}
	v, err := disk.Find(volumes, choice.Device)
	return err == nil && v.Number == c.volume.Number
}

// Chosen names the root of the opened image, whatever it was found by.
func (d *Disk) Chosen() Choice {
	root := d.Mounts[0]
	return Choice{Device: strconv.Itoa(root.Volume.Number), Subvolume: root.Subvolume}
}

// menuFiles and menuFolders are where boot loaders have their entries, seen from a root or a /boot.
var (
	menuFiles   = []string{"grub/grub.cfg", "grub2/grub.cfg", "boot/grub/grub.cfg", "boot/grub2/grub.cfg", "boot/grub2/grubenv", "grub2/grubenv"}
	menuFolders = []string{"loader/entries", "boot/loader/entries"}

	rootArgument   = regexp.MustCompile(`\broot=([^\s'"]+)`)
	subvolArgument = regexp.MustCompile(`\brootflags=(?:[^\s'"]*,)?subvol=([^\s'",]+)`)
)

// readMenus notes which roots the boot entries of a tree name.
func (l *look) readMenus(root *rootfs.Root, tree string) {
	var files []string
	for _, f := range menuFiles {
		files = append(files, path.Join(tree, f))
	}
	for _, folder := range menuFolders {
		entries, _ := root.ReadDir(path.Join(tree, folder))
		for _, e := range entries {
			files = append(files, path.Join(tree, folder, e.Name()))
		}
	}
	for _, f := range files {
		text, _ := root.ReadFile(f)
		for _, m := range rootArgument.FindAllStringSubmatch(string(text), -1) {
			l.roots = append(l.roots, m[1])
		}
		for _, m := range subvolArgument.FindAllStringSubmatch(string(text), -1) {
			l.subvols = append(l.subvols, path.Clean("/"+m[1]))
		}
	}
}

// subvolumes lists a mounted btrfs's subvolumes, the top one first.
func subvolumes(ctx context.Context, dir string) ([]subvolume, error) {
	ask := func(words ...string) ([]subvolume, error) {
		out, err := hostcmd.New("btrfs", append(append([]string{"subvolume"}, words...), dir)...).Reading(dir).Output(ctx)
		return parseSubvolumes(out), err
	}
	all, err := ask("list")
	readOnly, errRO := ask("list", "-r")
	defaults, errDefault := ask("get-default")
	if err := errors.Join(err, errRO, errDefault); err != nil {
		return nil, err
	}
	all = append(all, subvolume{id: topSubvolume})
	for i, s := range all {
		same := func(o subvolume) bool { return o.id == s.id }
		all[i].readOnly, all[i].isDefault = slices.ContainsFunc(readOnly, same), slices.ContainsFunc(defaults, same)
	}
	slices.SortFunc(all, func(a, b subvolume) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// topSubvolume is the number of the subvolume that holds all others.
const topSubvolume = 5

var subvolumeLine = regexp.MustCompile(`(?m)^ID (\d+) (?:.* path (.+)|\(FS_TREE\))$`)

func parseSubvolumes(out string) (found []subvolume) {
	for _, m := range subvolumeLine.FindAllStringSubmatch(out, -1) {
		id, _ := strconv.Atoi(m[1]) // digits
		found = append(found, subvolume{path: m[2], id: id})
	}
	return found
}
