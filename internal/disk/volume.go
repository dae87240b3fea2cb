package disk

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Volume is a partition together with what it holds.
type Volume struct {
	Partition
	Content
}

// Volumes reads what the partitions of a disk hold.
func Volumes(r io.ReaderAt, t *Table) (list []Volume) {
	for _, p := range t.Partitions {
		list = append(list, Volume{p, Probe(io.NewSectionReader(r, p.Start, p.Size))})
	}
	return list
}

// Find returns the volume that an fstab source names, see Named. More than one is an error.
func Find(volumes []Volume, source string) (*Volume, error) {
	switch found := Named(volumes, source); len(found) {
	case 0:
		return nil, fmt.Errorf("fstab names %s, but no partition of the image is that", source)
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("fstab names %s, which both partition %d and partition %d of the image are", source, found[0].Number, found[1].Number)
	}
}

// Named lists the volumes that go by a name: UUID, PARTUUID, LABEL, PARTLABEL, a /dev/disk/by- link,
// or a device path such as /dev/sda2.
func Named(volumes []Volume, source string) (found []*Volume) {
	match := matcher(source)
	for i := range volumes {
		if match(volumes[i]) {
			found = append(found, &volumes[i])
		}
	}
	return found
}

// tags are the ways to name a volume by what it is, as fstab writes them; in lower case they are the
// folders below /dev/disk/by-.
var tags = map[string]func(v Volume) string{
	"UUID":      func(v Volume) string { return v.Content.UUID },
	"PARTUUID":  func(v Volume) string { return v.Partition.UUID },
	"LABEL":     func(v Volume) string { return v.Label },
	"PARTLABEL": func(v Volume) string { return v.Name },
}

// Links are the names of the volume that udev would make below /dev, such as disk/by-uuid/....
func (v Volume) Links() []string {
	var list []string
	for tag, value := range tags {
		if s := value(v); s != "" {
			list = append(list, "disk/by-"+strings.ToLower(tag)+"/"+udevName(s))
		}
	}
	return list
}

// udevName writes a label as udev does in a file name: what could mean something to a shell or a
// path becomes \xNN.
func udevName(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r > 0x7f, r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', strings.ContainsRune("#+-.:=@_", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x%02x`, r)
		}
	}
	return b.String()
}

func matcher(source string) func(Volume) bool {
	if name, ok := strings.CutPrefix(source, "/dev/"); ok {
		return deviceMatcher(name)
	}
	tag, value, _ := strings.Cut(source, "=")
	get := tags[tag]
	if get == nil || value == "" {
		return func(Volume) bool { return false }
	}
	if strings.HasSuffix(tag, "UUID") {
		return func(v Volume) bool { return strings.EqualFold(get(v), value) }
	}
	return func(v Volume) bool { return get(v) == value }
}

// numbered are the names that Linux gives to partitions, and udev to those of a disk it knows by
// place or serial number; the number is that of the partition. An image has one disk.
var numbered = regexp.MustCompile(`^(?:(?:sd|vd|xvd|hd)[a-z]+|nvme\d+n\d+p|mmcblk\d+p|disk/by-(?:id|path)/.*-part)(\d{1,3})$`)

func deviceMatcher(name string) func(Volume) bool {
	if m := numbered.FindStringSubmatch(name); m != nil {
		number, _ := strconv.Atoi(m[1]) // at most three digits
		return func(v Volume) bool { return v.Number == number }
	}
	return func(v Volume) bool {
		for _, l := range v.Links() {
			if strings.EqualFold(l, name) && (l == name || strings.Contains(l, "uuid/")) {
				return true
			}
		}
		return false
	}
}

// Named is the volume as fstab names it by one of the tags UUID, PARTUUID, LABEL and PARTLABEL.
func (v Volume) Named(tag string) (string, error) {
	get := tags[tag]
	if get == nil || get(v) == "" {
		return "", fmt.Errorf("partition %d has no %s to name it by", v.Number, tag)
	}
	return tag + "=" + get(v), nil
}
