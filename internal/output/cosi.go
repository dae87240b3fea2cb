package output

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/sandbox"
)

// Parts is a closed disk, taken apart, and the system on it: what a COSI and split outputs are made of.
type Parts struct {
	extent.View
	Size   int64
	Table  *disk.Table
	System System
}

// ReadParts reads the partition table of a disk.
func ReadParts(f extent.View, s System) (*Parts, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	table, err := disk.ReadTable(f.File, size)
	return &Parts{f, size, table, s}, err
}

// COSI says how a COSI is written: a tar archive of zstd-compressed partitions that begins with a
// description of them (Composable OS Image, version 1.2).
type COSI struct {
	Base  string // begins the names of its images
	Level int    // of compression
	Now   time.Time

	windowLog int  // what readers are told to be ready for
	vhd       bool // pad it and append a VHD footer
}

// cosis are the ways to write a COSI by the names of their formats.
var cosis = map[string]COSI{
	"cosi":            {Level: usualLevel, windowLog: 27},
	"baremetal-image": {Level: 22, windowLog: 31, vhd: true},
}

// NewCOSI is the way to write a COSI of a format as the file of that name. A level of 0 means the
// format's own.
func NewCOSI(f diskformat.Format, path string, level int, now time.Time) COSI {
	c := cosis[f.Name]
	c.Base, c.Now = baseName(path), now
	if level > 0 {
		c.Level = level
	}
	return c
}

// baseName is a file's name without its last ending.
func baseName(path string) string {
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Write writes the COSI to an empty file, in one pass: images are compressed right into their
// places, and what is known only then, their sizes and sums, is written into the places kept for it.
func (c COSI) Write(ctx context.Context, p *Parts, out *os.File, progress func(done, total int64)) error {
	if p.Table.Kind != "gpt" {
		return errors.New("a COSI describes a disk with a GPT, but this one has an MBR: write another format, or give the disk a GPT with storage.disks")
	}
	w := &cosiWriter{COSI: c, parts: p, out: out, progress: diskformat.Paced(progress)}
	if err := w.write(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("cannot write the COSI: %w", explain(err, sandbox.Path(out)))
	}
	return nil
}

type cosiWriter struct {
	COSI
	parts    *Parts
	out      *os.File
	at       int64 // end of what is written
	progress func(done, total int64)
}

// cosiImage is an image in the archive, as its description says it.
type cosiImage struct {
	Path         string `json:"path"`
	Compressed   int64  `json:"compressedSize"`
	Uncompressed int64  `json:"uncompressedSize"`
	SHA384       string `json:"sha384"` // of the compressed image
}

// part is an extent of the disk that becomes an image; number is that of its partition, 0 for the
// partition table.
type part struct {
	number   int
	at, size int64
	extents  int // it is cut into
	image    cosiImage
}

func (w *cosiWriter) write(ctx context.Context) error {
	list, err := w.listParts()
	if err != nil {
		return err
	}
	if err := w.put(header("cosi-marker", 0, tar.FormatUSTAR, w.Now)); err != nil {
		return err
	}
	// What is not known yet is described at its longest, to see how much place the description takes.
	draft, err := w.describe(list)
	if err != nil {
		return err
	}
	place := w.at
	w.at += int64(len(header("metadata.json", int64(len(draft)), tar.FormatPAX, w.Now))) + align(int64(len(draft)), tarBlock)
	if err := w.images(ctx, list); err != nil {
		return err
	}
	if err := w.put(make([]byte, 2*tarBlock)); err != nil {
		return err
	}
	final, err := w.describe(list)
	if err != nil {
		return err
	}
	final = append(final, bytes.Repeat([]byte{'\n'}, len(draft)-len(final))...)
	if _, err := w.out.WriteAt(append(header("metadata.json", int64(len(final)), tar.FormatPAX, w.Now), final...), place); err != nil {
		return err
	}
	return w.finish()
}

// listParts lists what becomes an image: the partition table up to its last entry, then the
// partitions in the order of their numbers. Sizes and sums are at their longest.
func (w *cosiWriter) listParts() ([]part, error) {
	end, err := disk.TableEnd(w.parts.File)
	if err != nil {
		return nil, err
	}
	longest := cosiImage{Compressed: 1<<63 - 1, SHA384: strings.Repeat("0", 2*sha512.Size384)}
	list := []part{{size: end, image: longest}}
	list[0].image.Path = "images/" + w.Base + "_gpt.raw.zst"
	for _, p := range w.parts.Table.ByNumber() {
		s := part{number: p.Number, at: p.Start, size: p.Size, image: longest}
		s.image.Path = fmt.Sprintf("images/%s_%d.raw.zst", w.Base, p.Number)
		list = append(list, s)
	}
	for i := range list {
		list[i].image.Uncompressed = list[i].size
	}
	return list, nil
}

// put appends bytes.
func (w *cosiWriter) put(b []byte) error {
	n, err := w.out.WriteAt(b, w.at)
	w.at += int64(n)
	return err
}

// images compresses the parts into the archive, without a pause between two.
func (w *cosiWriter) images(ctx context.Context, list []part) error {
	var all []extent.Extent
	var total int64
	for i := range list {
		s := &list[i]
		found, err := extent.List(w.parts.File, s.at, s.size, leastHole)
		if err != nil {
			return err
		}
		s.extents, all, total = len(found), append(all, found...), total+s.size
	}
	run := deflator{w.Level, true}.begin(ctx, w.parts.View, all, func(done int64) { w.progress(done, total) })
	defer run.end()
	for i := range list {
		if err := w.image(&list[i], run); err != nil {
			return err
		}
	}
	return nil
}

// image writes a part, which is the next to come: the identifier of the image as a skippable frame, then
// the data.
func (w *cosiWriter) image(s *part, run *deflation) error {
	place := w.at
	w.at += int64(len(header(s.image.Path, 0, tar.FormatGNU, w.Now)))
	to := &sink{w.out, w.at, sha512.New384()}
	id, err := uuid.Parse(w.parts.System.ID)
	if err != nil {
		return err
	}
	if _, err := to.Write(skippableFrame(id[:])); err != nil {
		return err
	}
	if err := run.next(s.extents, to); err != nil {
		return err
	}
	s.image.Compressed, s.image.SHA384 = to.at-w.at, hex.EncodeToString(to.sum.Sum(nil))
	w.at += align(s.image.Compressed, tarBlock)
	_, err = w.out.WriteAt(header(s.image.Path, s.image.Compressed, tar.FormatGNU, w.Now), place)
	return err
}

// finish gives the file its last bytes.
func (w *cosiWriter) finish() error {
	if !w.vhd {
		return w.out.Truncate(w.at)
	}
	id, err := uuid.Parse(w.parts.System.ID)
	if err != nil {
		return err
	}
	w.at = align(w.at, mib)
	return w.put(diskformat.FixedFooter(w.at, id, w.Now))
}

const tarBlock = 512

func align(n, to int64) int64 { return (n + to - 1) / to * to }

// header is the header of a file in a tar archive. In the format of GNU its length does not depend on
// the size, however large.
func header(name string, size int64, format tar.Format, now time.Time) []byte {
	var b bytes.Buffer
	h := &tar.Header{Name: name, Mode: 0o400, Size: size, Format: format, ModTime: now.Truncate(time.Second)}
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		panic("tar header of " + name + ": " + err.Error()) // names and sizes are ours
	}
	return b.Bytes()
}

// skippableFrame is a zstd frame that decompressors pass over (RFC 8878, 3.1.2).
func skippableFrame(content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x184d2a50)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

// The description of a COSI.
type (
	cosiMetadata struct {
		Version     string          `json:"version"`
		OSArch      string          `json:"osArch"`
		ID          string          `json:"id"`
		Disk        cosiDisk        `json:"disk"`
		Images      []cosiMounted   `json:"images"`
		OSRelease   string          `json:"osRelease"`
		OSPackages  []Package       `json:"osPackages"`
		Bootloader  Bootloader      `json:"bootloader"`
		Compression cosiCompression `json:"compression"`
	}
	cosiDisk struct {
		Size       int64        `json:"size"`
		Type       string       `json:"type"`
		LBASize    int          `json:"lbaSize"`
		GPTRegions []cosiRegion `json:"gptRegions"`
	}
	cosiRegion struct {
		Image  cosiImage `json:"image"`
		Type   string    `json:"type"`
		Number int       `json:"number,omitempty"`
	}
	cosiMounted struct {
		Image      cosiImage   `json:"image"`
		MountPoint string      `json:"mountPoint"`
		FSType     string      `json:"fsType"`
		FSUUID     string      `json:"fsUuid"`
		PartType   string      `json:"partType"`
		Verity     *cosiVerity `json:"verity"`
	}
	cosiVerity struct {
		Image      cosiImage `json:"image"`
		RootHash   string    `json:"roothash"`
		HashOffset int64     `json:"hashOffset,omitempty"`
	}
	cosiCompression struct {
		MaxWindowLog int `json:"maxWindowLog"`
	}
)

// describe writes the description of the images.
func (w *cosiWriter) describe(list []part) ([]byte, error) {
	s := w.parts.System
	m := cosiMetadata{
		Version: "1.2", OSArch: s.Arch, ID: s.ID,
		Disk:   cosiDisk{Size: w.parts.Size, Type: "gpt", LBASize: w.parts.Table.SectorSize},
		Images: []cosiMounted{}, OSRelease: s.OSRelease, OSPackages: s.Packages, Bootloader: s.Bootloader,
		Compression: cosiCompression{w.windowLog},
	}
	images := map[int]cosiImage{}
	for _, x := range list {
		images[x.number] = x.image
		kind := "partition"
		if x.number == 0 {
			kind = "primary-gpt"
		}
		m.Disk.GPTRegions = append(m.Disk.GPTRegions, cosiRegion{x.image, kind, x.number})
	}
	for _, x := range s.Mounts {
		for _, p := range w.parts.Table.Partitions {
			if p.Number != x.Partition {
				continue
			}
			c := disk.Probe(io.NewSectionReader(w.parts.File, p.Start, p.Size))
			m.Images = append(m.Images, cosiMounted{images[p.Number], x.Path, c.Type, c.UUID, p.Type, w.verity(p.Number, images)})
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(m)
	return b.Bytes(), err
}

// verity describes what seals a partition.
func (w *cosiWriter) verity(number int, images map[int]cosiImage) *cosiVerity {
	for _, v := range w.parts.System.Verity {
		if v.DataPartition == number {
			return &cosiVerity{images[v.HashPartition], v.RootHash, v.HashOffset}
		}
	}
	return nil
}
