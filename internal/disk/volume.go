package disk

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
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

// Find returns the volume that an fstab source was meant to name: in names that udev makes, case, quotes,
// blanks around them and the way in which characters are escaped do not count. More than one is an error.
func Find(volumes []Volume, source string) (*Volume, error) {
	found := Named(volumes, source)
	if len(found) == 0 {
		found = named(volumes, plainName(source), func(tag, is, says string) bool { return plainID(tag, is) == plainID(tag, says) })
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("fstab names %s, but no partition of the image is that", source)
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("fstab names %s, which both partition %d and partition %d of the image are", source, found[0].Number, found[1].Number)
	}
}

// Named lists the volumes that go by a name: UUID, PARTUUID, LABEL, PARTLABEL, a /dev/disk/by- link,
// or a device path such as /dev/sda2, of whichever disk. As for udev, systemd and mount, an identifier is
// a text: in another case, or with other quotes or escapes, it is the name of nothing.
func Named(volumes []Volume, source string) []*Volume {
	return named(volumes, source, func(_, is, says string) bool { return is == says })
}

// NamedToKernel is Named for root= where no initramfs runs: the kernel compares PARTUUID without case.
func NamedToKernel(volumes []Volume, source string) []*Volume {
	return named(volumes, source, func(tag, is, says string) bool {
		return is == says || tag == "PARTUUID" && strings.EqualFold(is, says)
	})
}

func named(volumes []Volume, source string, same func(tag, is, says string) bool) (found []*Volume) {
	match := matcher(source, same)
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
			list = append(list, linkDir(tag)+udevName(s))
		}
	}
	return list
}

func linkDir(tag string) string { return "disk/by-" + strings.ToLower(tag) + "/" }

// udevName writes a label as udev does in a file name: what could mean something to a shell or a
// path becomes \xNN.
func udevName(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r > 0x7f, r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', strings.ContainsRune("#+-.:=@_", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x%02x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// numbered are the names that Linux gives to disks and their partitions, and udev to those of a disk that it
// knows by place, serial number or the cloud's word.
var numbered = regexp.MustCompile(`^/dev/(?:` +
	`((?:sd|vd|xvd|hd|dasd|ubd)[a-z]+)(\d{1,3})?|` +
	`((?:nvme\d+n|mmcblk|nbd|pmem)\d+)(?:p(\d{1,3}))?|` +
	`(disk/(?:by-id|by-path|azure|cloud)/.+?)(?:-part(\d{1,3}))?)$`)

func matcher(source string, same func(tag, is, says string) bool) func(Volume) bool {
	if _, number, ok := partition(source); ok {
		return func(v Volume) bool { return number > 0 && v.Number == number }
	}
	if link, ok := strings.CutPrefix(source, "/dev/"); ok {
		return func(v Volume) bool {
			for tag, get := range tags {
				says, ok := strings.CutPrefix(link, linkDir(tag))
				if is := get(v); ok && is != "" && same(tag, udevName(is), says) {
					return true
				}
			}
			return false
		}
	}
	tag, says, _ := strings.Cut(source, "=")
	get := tags[tag]
	return func(v Volume) bool { return get != nil && says != "" && same(tag, get(v), says) }
}

// plainName is a source without quotes and blanks around it, its tag in capitals.
func plainName(source string) string {
	source = strings.Trim(source, " \t\r\n\"'")
	tag, value, ok := strings.Cut(source, "=")
	if up := strings.ToUpper(strings.TrimSpace(tag)); ok && tags[up] != nil {
		return up + "=" + value
	}
	return source
}

// udevEscape is a character as udev writes it in a file name.
var udevEscape = regexp.MustCompile(`\\x[0-9a-fA-F]{2}`)

// plainID is what an identifier was meant to be.
func plainID(tag, id string) string {
	id = udevEscape.ReplaceAllStringFunc(id, func(x string) string {
		n, _ := strconv.ParseUint(x[2:], 16, 8)
		return string([]byte{byte(n)})
	})
	id = strings.Trim(id, " \t\r\n\"'")
	if strings.HasSuffix(tag, "UUID") {
		return strings.ToLower(id)
	}
	return id
}

// Spelled is the name by which the volume goes, of the kind of a source that only nearly names it.
func (v Volume) Spelled(source string) string {
	source = plainName(source)
	for tag, get := range tags {
		switch {
		case strings.HasPrefix(source, tag+"="):
			return tag + "=" + get(v)
		case strings.HasPrefix(source, "/dev/"+linkDir(tag)):
			return "/dev/" + linkDir(tag) + udevName(get(v))
		}
	}
	return source
}

// Named is the volume as fstab names it by one of the tags UUID, PARTUUID, LABEL and PARTLABEL.
func (v Volume) Named(tag string) (string, error) {
	get := tags[tag]
	if get == nil || get(v) == "" {
		return "", fmt.Errorf("partition %d has no %s to name it by", v.Number, tag)
	}
	return tag + "=" + get(v), nil
}
