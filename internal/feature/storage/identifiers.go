package storage

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/seed"
)

// ResetUUIDs says which identifiers of the disk are made anew.
type ResetUUIDs string

// ResetAll makes all identifiers anew.
const ResetAll ResetUUIDs = "reset-all"

// Values lists the ways.
func (ResetUUIDs) Values() []string { return []string{"", string(ResetAll)} }

// Identifiers are those of a disk that a config has made anew.
type Identifiers struct{ *Storage }

// Used tells whether they are.
func (i Identifiers) Used() bool { return i.ResetUUIDs != "" }

// Touches is nothing that cannot be written: a sealed filesystem is refused.
func (Identifiers) Touches() []feature.Touch { return nil }

// Record is nothing: the history of the reference has no storage.
func (Identifiers) Record() (any, error) { return nil, nil }

// Plan draws new identifiers for the disk of the image and for all that lies on it.
func (Identifiers) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	g.NeedInitramfs("the new identifiers")
	return planIdentifiers(g.Facts, g.Seed)
}

func planIdentifiers(f *machine.Facts, from seed.Seed) (plan.Plan, []plan.Problem) {
	s := ResetIdentifiers{New: disk.Identifiers{Disk: from.UUID("reset disk"), Partitions: map[int]disk.Identifier{}}, renamed: map[string]string{}}
	var problems []plan.Problem
	problem := func(format string, args ...any) {
		problems = append(problems, plan.Problem{Step: s.Name(), Text: fmt.Sprintf(format, args...)})
	}
	if len(f.Sealed) > 0 {
		problem("the image has filesystems sealed by dm-verity, which another identifier would break")
	}
	for _, v := range f.Volumes {
		switch kind := v.Content.Type; {
		case strings.HasPrefix(v.Partition.Type, "0x"):
			problem("the image has an MBR: only a disk with a GPT has identifiers of its own for every partition")
			return nil, problems
		case kind != "" && !disk.CanIdentify(kind):
			problem("partition %d holds %s, which cannot be given another identifier", v.Number, kind)
		}
		id := newIdentifier(v, from)
		s.New.Partitions[v.Number] = id
		for _, x := range [][2]string{{v.Partition.UUID, id.Partition}, {v.Content.UUID, id.Content}} {
			was := strings.ToLower(x[0])
			switch {
			case s.renamed[was] != "":
				problem("%s identifies more than one partition or filesystem: which of them a file means cannot be known", was)
			case was != "":
				s.renamed[was] = x[1]
			}
		}
	}
	return plan.Plan{s}, problems
}

// newIdentifier draws the identifiers of one partition by its number, so that one seed always gives
// the same ones.
func newIdentifier(v disk.Volume, from seed.Seed) disk.Identifier {
	name := fmt.Sprintf("reset %d", v.Number)
	id := disk.Identifier{Partition: from.UUID(name + " partition")}
	switch v.Content.Type {
	case "":
	case "vfat":
		serial := strings.ToUpper(hex.EncodeToString(from.Bytes(name+" content", 4)))
		id.Content = serial[:4] + "-" + serial[4:]
	default:
		id.Content = from.UUID(name + " content")
	}
	return id
}

// ResetIdentifiers gives the disk, its partitions and their filesystems other identifiers.
type ResetIdentifiers struct {
	New     disk.Identifiers
	renamed map[string]string // old identifiers, in lower case, to new ones
}

// Name identifies the step.
func (ResetIdentifiers) Name() string { return "storage.identifiers" }

// Stage is the part of the run that it belongs to.
func (ResetIdentifiers) Stage() plan.Stage { return plan.Disk }

func (s ResetIdentifiers) String() string {
	return fmt.Sprintf("give the disk, its %d partitions and what they hold other identifiers", len(s.New.Partitions))
}

// Run changes first what names the identifiers, since the image is mounted again as its fstab says.
func (s ResetIdentifiers) Run(ctx context.Context, m *machine.Machine) error {
	for _, dir := range []string{"/etc", "/boot", "/efi"} {
		if !m.Root.IsDir(dir) {
			continue
		}
		if err := s.follow(m.Root, dir); err != nil {
			return err
		}
	}
	return m.SetIdentifiers(ctx, s.New)
}

// maxText bounds, in bytes, the files in which identifiers are looked for.
const maxText = 1 << 20

// follow names the new identifiers in every text file below a folder.
func (s ResetIdentifiers) follow(root *rootfs.Root, dir string) error {
	entries, err := root.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			err = s.follow(root, name)
		} else if e.Type().IsRegular() {
			err = s.rename(root, name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s ResetIdentifiers) rename(root *rootfs.Root, name string, e fs.DirEntry) error {
	fi, err := e.Info()
	if err != nil || fi.Size() > maxText {
		return err
	}
	was, err := root.ReadFile(name)
	if err != nil || strings.ContainsRune(string(was), 0) {
		return err
	}
	is := s.renameText(string(was))
	if is == string(was) {
		return nil
	}
	return root.WriteFile(name, []byte(is), fi.Mode())
}

// identifierText finds UUIDs and the shorter serial numbers of FAT filesystems.
var identifierText = regexp.MustCompile(`(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{4}-[0-9a-f]{4}\b`)

func (s ResetIdentifiers) renameText(text string) string {
	return identifierText.ReplaceAllStringFunc(text, func(id string) string {
		if is := s.renamed[strings.ToLower(id)]; is != "" {
			return is
		}
		return id
	})
}

// Replaces lists what names the identifiers of filesystems.
func (ResetIdentifiers) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("storage.resetPartitionsUuidsType", append(booting.ConfigFiles(m, m.Facts.Boot), feature.Present(m, feature.Fstab)...)...)
}
