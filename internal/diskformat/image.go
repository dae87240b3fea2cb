package diskformat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"imagecustomizer/internal/hostcmd"
)

// Image is what is known of the file of an image. It is found out once; from then on programs are told it and
// never guess, because a guest can write a raw disk that looks like another format.
type Image struct {
	Name string // of its format
	Size int64  // of the disk, in bytes
	Odd  bool   // QEMU cannot read the file; Read can

	Backing bool `json:",omitempty"` // it refers to further files, as it may
}

// Source is the disk in the file of an image.
type Source struct {
	Path string
	Image
}

// Raw is the source that is a raw disk of size bytes.
func Raw(path string, size int64) Source { return Source{path, Image{Name: raw.Name, Size: size}} }

// candidate is a file whose format is to be found.
type candidate struct {
	io.ReaderAt
	size         int64
	allowBacking bool
}

// mark is what a format has at a fixed place, from the file's end if that is negative.
type mark struct {
	at   int64
	text string
}

func (m mark) on(f candidate) bool {
	at, got := m.at, make([]byte, len(m.text))
	if at < 0 {
		at += f.size
	}
	_, err := f.ReadAt(got, at)
	return err == nil && m.text != "" && string(got) == m.text
}

// foreign are formats known by their first bytes and not read by this program.
var foreign = []struct{ magic, name string }{
	{"KDMV", "vmdk"},
	{"COWD", "vmdk"},
	{"# Disk Descriptor", "vmdk"},
	{"QED\x00", "qed"},
	{"WithoutFreeSpace", "parallels"},
	{"WithouFreSpacExt", "parallels"},
	{"LUKS\xba\xbe", "luks"},
	{"\x1f\x8b", "gzip"},
	{"\xfd7zXZ\x00", "xz"},
	{zstdMagic, "zstd"},
	{"BZh", "bzip2"},
	{"PK\x03\x04", "zip"},
	{cosiMarker + "\x00", "COSI"}, // a tar archive, whose first name this is
}

// Probe tells the format of an image file and checks that the file is whole, as far as its headers
// and tables say. A qcow2 that refers to further files is refused unless allowed.
func Probe(ctx context.Context, path string, allowBacking bool) (Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return Image{}, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return Image{}, err
	}
	i, err := candidate{file, fi.Size(), allowBacking}.probe()
	if err == nil && !byName(i.Name).plain && !i.Odd {
		i.Size, err = i.check(ctx, path)
	}
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", path, err)
	}
	return i, nil
}

func (f candidate) probe() (Image, error) {
	for _, u := range foreign {
		if (mark{0, u.magic}).on(f) {
			return Image{}, fmt.Errorf("this is a %s file; images that can be read are %s", u.name, Readable())
		}
	}
	const least = 512
	if f.size < least {
		return Image{}, fmt.Errorf("the file has only %d bytes: it is no disk image", f.size)
	}
	format := f.marked()
	i, err := format.probe(f)
	if i.Name == "" {
		i.Name = format.Name
	}
	return i, err
}

// marked is the format whose mark a file has, at its begin or else at its end; raw is what has none.
func (f candidate) marked() Format {
	for _, fromEnd := range []bool{false, true} {
		for _, format := range formats {
			if format.probe != nil && format.mark.at < 0 == fromEnd && format.mark.on(f) {
				return format
			}
		}
	}
	return raw
}

// Readable lists the formats of disks that are told by what is in them.
func Readable() string { return list("and", func(f Format) bool { return f.probe != nil && !f.Live }) }

// check has qemu-img look at the whole file, in time that goes with its tables, and returns the size
// of the disk. Converting a truncated qcow2 would succeed, with zeros for what is missing.
func (i Image) check(ctx context.Context, path string) (size int64, err error) {
	size, err = virtualSize(ctx, i.Files(path), "-U", i.QEMU(path))
	if err != nil {
		return 0, fmt.Errorf("this %s image cannot be read: %w", i.Name, err)
	}
	const leaks = 3 // exit status: space is lost, but no data
	if byName(i.Name).whole {
		if err := qemuImg("check", "-U", "-q", i.QEMU(path)).Reading(i.Files(path)...).Run(ctx); err != nil && hostcmd.ExitStatus(err) != leaks {
			return 0, fmt.Errorf("this %s image is damaged or truncated: %w", i.Name, err)
		}
	}
	return size, nil
}

// virtualSize is the size of a disk as qemu-img sees it.
func virtualSize(ctx context.Context, files []string, args ...string) (int64, error) {
	out, err := qemuImg(append([]string{"info", "--output=json"}, args...)...).Reading(files...).Output(ctx)
	if err != nil {
		return 0, err
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		return 0, fmt.Errorf("cannot read what qemu-img info printed: %w", err)
	}
	return info.Size, nil
}

// qemuImg is quiet, since what it prints belongs neither into the log nor into an error's last lines.
func qemuImg(args ...string) *hostcmd.Cmd {
	c := hostcmd.New("qemu-img", args...)
	c.Quiet = true
	return c
}

// Files are what has to be readable for the image at path to be read: where it refers to further files, those
// may be anywhere.
func (i Image) Files(path string) []string {
	if i.Backing {
		return []string{"/"}
	}
	return []string{path}
}

// QEMU describes the file at path to QEMU programs, leaving nothing for them to guess.
func (i Image) QEMU(path string) string {
	file, f := map[string]any{"driver": "file", "filename": path}, byName(i.Name)
	node := map[string]any{"driver": f.driver, "file": file}
	if f.node != nil {
		f.node(i, node)
	}
	text, _ := json.Marshal(node) // plain strings and numbers
	return "json:" + string(text)
}

// Marked tells whether a file has what tells the format from others, where it has such a thing.
func (f Format) Marked(file *os.File) bool {
	fi, err := file.Stat()
	return err == nil && (f.mark.text == "" || f.mark.on(candidate{ReaderAt: file, size: fi.Size()}))
}
