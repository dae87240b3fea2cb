package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/partition/gpt"
	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/hostcmd"
)

const mib = 1 << 20

// run runs a program that the test needs.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	return runIn(t, "", program, args...)
}

func runIn(t testing.TB, input, program string, args ...string) string {
	t.Helper()
	c := hostcmd.Unconfined("a test", program, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// blank makes a sparse file.
func blank(t testing.TB, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

const gptScript = `label: gpt
label-id: 11111111-2222-3333-4444-555566667777
first-lba: 2048
start=2048, size=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI System", uuid=AAAAAAAA-0000-0000-0000-000000000001, attrs="RequiredPartition GUID:63"
start=8192, size=8192, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="root", uuid=AAAAAAAA-0000-0000-0000-000000000002
start=4096, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=AAAAAAAA-0000-0000-0000-000000000003
`

// partitioned makes a disk with the table that an sfdisk script describes.
func partitioned(t testing.TB, size int64, script string) string {
	t.Helper()
	name := blank(t, size)
	runIn(t, script, "sfdisk", "-q", name)
	return name
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(data []byte) (*Table, error) { return ReadTable(bytes.NewReader(data), int64(len(data))) }

// sfdisk reads a table with sfdisk, extended partitions left out.
func sfdisk(t testing.TB, name string) []Partition {
	t.Helper()
	var doc struct {
		Table struct {
			ID         string
			Partitions []struct {
				Node, Type, UUID, Name, Attrs string
				Start, Size                   int64
				Bootable                      bool
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(run(t, "sfdisk", "--json", name)), &doc); err != nil {
		t.Fatal(err)
	}
	var list []Partition
	for _, p := range doc.Table.Partitions {
		q := Partition{Start: p.Start * 512, Size: p.Size * 512, Type: strings.ToLower(p.Type), UUID: strings.ToLower(p.UUID), Name: p.Name}
		number, err := strconv.Atoi(strings.TrimPrefix(p.Node, name))
		if err != nil {
			t.Fatal(err)
		}
		q.Number = number
		if q.UUID == "" {
			q.Type = fmt.Sprintf("0x%02s", q.Type)
			q.UUID = fmt.Sprintf("%s-%02x", strings.TrimPrefix(doc.Table.ID, "0x"), q.Number)
		}
		if p.Bootable {
			q.Attributes = 0x80
		}
		if strings.Contains(p.Attrs, "GUID:63") {
			q.Attributes = 1<<63 | 1
		}
		if q.Type != "0x05" {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b Partition) int { return int(a.Start - b.Start) })
	return list
}

func TestTablesAsSfdiskReadsThem(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"gpt":      gptScript,
		"mbr":      "label: dos\nlabel-id: 0x0234abcd\n2048,8M,ef,*\n,8M,83\n",
		"logical":  "label: dos\nlabel-id: 0x1234abcd\n2048,8M,83,*\n,,5\n,4M,83\n,4M,82\n,2M,8e\n",
		"extended": "label: dos\nlabel-id: 0x1234abcd\n2048,8M,83\n,8M,83\n,2M,c\n,,5\n,4M,83\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := partitioned(t, 32*mib, script)
			got, err := read(readFile(t, disk))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sfdisk(t, disk), got.Partitions); diff != "" {
				t.Error(diff)
			}
			if len(got.Partitions) < 2 || got.SectorSize != 512 || len(got.Warnings) > 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// disk4K makes a disk with 4096-byte sectors, which sfdisk cannot make on a file.
func disk4K(t testing.TB) string {
	t.Helper()
	name := blank(t, 32*mib)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := gpt.Table{LogicalSectorSize: 4096, PhysicalSectorSize: 4096, ProtectiveMBR: true, Partitions: []*gpt.Partition{
		{Index: 1, Start: 256, End: 511, Type: gpt.EFISystemPartition, Name: "Ä ESP 😀"},
		{Index: 15, Start: 512, End: 4095, Type: gpt.LinuxFilesystem, GUID: "AAAAAAAA-0000-0000-0000-00000000000F"},
	}}
	if err := table.Write(f, 32*mib); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBigSectors(t *testing.T) {
	t.Parallel()
	got, err := read(readFile(t, disk4K(t)))
	if err != nil {
		t.Fatal(err)
	}
	if got.SectorSize != 4096 || len(got.Partitions) != 2 || len(got.Warnings) > 0 {
		t.Fatalf("%+v", got)
	}
	if p := got.Partitions[0]; p.Start != mib || p.Size != mib || p.Name != "Ä ESP 😀" || p.Type != TypeESP {
		t.Errorf("%+v", p)
	}
	if p := got.Partitions[1]; p.Number != 15 || p.UUID != "aaaaaaaa-0000-0000-0000-00000000000f" {
		t.Errorf("%+v", p)
	}
}

func TestTruncatedWithBigSectors(t *testing.T) {
	t.Parallel()
	_, err := read(readFile(t, disk4K(t))[:31*mib])
	if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "its GPT says that it has at least 8192 sectors of 4096 bytes, but it has only 7936") {
		t.Errorf("got %v", err)
	}
}

// reseal gives the primary GPT, changed by the test, right checksums again.
func reseal(disk []byte) {
	h := disk[512:]
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(disk[1024:1024+128*128]))
	clear(h[16:20])
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
}

// TestDamage damages one good GPT in many ways.
func TestDamage(t *testing.T) {
	t.Parallel()
	good := readFile(t, partitioned(t, 32*mib, gptScript))
	const main, entry2 = 512, 1024 + 128
	backup := len(good) - 512
	for name, c := range map[string]struct {
		change  func(d []byte) []byte
		warning string
		err     string
	}{
		"nothing":         {func(d []byte) []byte { return d }, "", ""},
		"primary header":  {func(d []byte) []byte { d[main+60]++; return d }, "the primary GPT is damaged (the checksum of its header is wrong)", ""},
		"primary gone":    {func(d []byte) []byte { clear(d[main : main+512]); return d }, "the primary GPT is damaged", ""},
		"primary entries": {func(d []byte) []byte { d[entry2+60]++; return d }, "(the checksum of its entries is wrong)", ""},
		"backup":          {func(d []byte) []byte { d[backup+60]++; return d }, "the backup GPT is damaged or missing: the checksum of its header", ""},
		"backup gone":     {func(d []byte) []byte { clear(d[backup:]); return d }, "the backup GPT is damaged or missing: no partition table", ""},
		"both":            {func(d []byte) []byte { d[main+60]++; d[backup+60]++; return d }, "", "the GPT of the image cannot be read, nor can its backup: the checksum of its header is wrong"},
		"both gone":       {func(d []byte) []byte { clear(d[main : main+512]); clear(d[backup:]); return d }, "", "neither of them is there"},
		"disagreement":    {func(d []byte) []byte { d[entry2+57]++; reseal(d); return d }, "lists other partitions", ""},
		"grown file":      {func(d []byte) []byte { return append(d, make([]byte, mib)...) }, "", ""},
		"grown, damaged":  {func(d []byte) []byte { d[main+60]++; return append(d, make([]byte, mib)...) }, "", "the checksum of its header is wrong"},
		"truncated":       {func(d []byte) []byte { return d[:16*mib] }, "", "the image is truncated: its protective MBR covers"},
		"truncated by 1":  {func(d []byte) []byte { return d[:len(d)-512] }, "", "the image is truncated: its protective MBR covers"},
		"moved header": {func(d []byte) []byte {
			binary.LittleEndian.PutUint64(d[main+24:], 7)
			reseal(d)
			return d
		}, "its header is that of sector 7, but lies at 1", ""},
		"many entries": {func(d []byte) []byte {
			binary.LittleEndian.PutUint32(d[main+80:], 1<<30)
			reseal(d)
			return d
		}, "1073741824 entries", ""},
		"overlap": {func(d []byte) []byte {
			binary.LittleEndian.PutUint64(d[entry2+32:], 5000)
			reseal(d)
			return d
		}, "", "partitions 3 and 2 of the image overlap"},
		"backwards": {func(d []byte) []byte {
			binary.LittleEndian.PutUint64(d[entry2+32:], 60000)
			reseal(d)
			return d
		}, "", "partition 2 of the image has an impossible place: sectors 60000 to 16383"},
		"outside": {func(d []byte) []byte {
			binary.LittleEndian.PutUint64(d[entry2+40:], 1<<61)
			reseal(d)
			return d
		}, "", "partition 2 of the image has an impossible place"},
		"no MBR":  {func(d []byte) []byte { clear(d[:512]); return d }, "", "no partition table"},
		"no file": {func([]byte) []byte { return nil }, "", "no first sector"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := read(c.change(bytes.Clone(good)))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v lacks %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(got.Warnings, "; "); !strings.Contains(all, c.warning) || c.warning == "" && all != "" {
				t.Errorf("warnings %q lack %q", all, c.warning)
			}
			if len(got.Partitions) != 3 || got.Partitions[2].UUID != "aaaaaaaa-0000-0000-0000-000000000002" {
				t.Errorf("%+v", got.Partitions)
			}
		})
	}
}

func TestMBRDamage(t *testing.T) {
	t.Parallel()
	good := readFile(t, partitioned(t, 32*mib, "label: dos\n2048,8M,83,*\n,,5\n,4M,83\n,4M,82\n"))
	ebr := (2048 + 8*2048) * 512
	for want, change := range map[string]func(d []byte) []byte{
		"the image is truncated: its partition 6": func(d []byte) []byte { return d[:15*mib] },
		"has no end":           func(d []byte) []byte { binary.LittleEndian.PutUint32(d[ebr+470:], 0); return d },
		"boot record at":       func(d []byte) []byte { d[ebr+511] = 0; return d },
		"overlap":              func(d []byte) []byte { binary.LittleEndian.PutUint32(d[446+12:], 9*2048+4096); return d },
		ErrNoTable.Error():     func(d []byte) []byte { d[446] = 0x33; return d },
		"impossible place":     func(d []byte) []byte { clear(d[446+8 : 446+12]); return d },
		"cannot be read, nor ": func(d []byte) []byte { d[446+4] = 0xee; return d },
	} {
		if got, err := read(change(bytes.Clone(good))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v, %+v", want, err, got)
		}
	}
}

func TestEmptyLogicalTakesNoNumber(t *testing.T) {
	t.Parallel()
	d := readFile(t, partitioned(t, 32*mib, "label: dos\nlabel-id: 0x1\n,,5\n,4M,83\n,4M,82\n"))
	before, err := read(d)
	if err != nil || len(before.Partitions) != 2 {
		t.Fatal(before, err)
	}
	clear(d[mib+446 : mib+462])
	after, err := read(d)
	if err != nil || len(after.Partitions) != 1 || after.Partitions[0].Number != 5 || after.Partitions[0].Type != "0x82" {
		t.Errorf("%+v, %v", after, err)
	}
}

func TestFilesystemIsNoMBR(t *testing.T) {
	t.Parallel()
	name := blank(t, 4*mib)
	run(t, "mkfs.vfat", name)
	if d := readFile(t, name); d[510] != 0x55 {
		t.Fatal("a FAT filesystem that does not end its first sector like an MBR tests nothing")
	}
	if _, err := read(readFile(t, name)); !errors.Is(err, ErrNoTable) {
		t.Errorf("got %v", err)
	}
}

// ends is a disk of which only the ends are not zero.
type ends struct {
	head, tail []byte
	size       int64
}

func (e ends) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > e.size {
		return 0, io.EOF
	}
	clear(b)
	if at < int64(len(e.head)) {
		copy(b, e.head[at:])
	}
	if skip := e.size - int64(len(e.tail)) - at; skip < int64(len(b)) {
		copy(b[max(0, skip):], e.tail[max(0, -skip):])
	}
	return len(b), nil
}

func FuzzReadTable(f *testing.F) {
	const size, kept = 4 * mib, 6 * 4096
	for _, name := range []string{partitioned(f, size, "label: gpt\n,1M\n,1M\n"), partitioned(f, size, "label: dos\n,1M\n,,5\n,1M\n")} {
		d := readFile(f, name)
		f.Add(d[:kept], d[size-kept:])
	}
	d := readFile(f, disk4K(f))
	f.Add(d[:kept], d[len(d)-kept:])
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		r := ends{head[:min(len(head), kept)], tail[:min(len(tail), kept)], size}
		table, err := ReadTable(r, size)
		if err != nil {
			return
		}
		end := int64(0)
		for _, p := range table.Partitions {
			if p.Start < end || p.Size <= 0 || p.Start+p.Size > size {
				t.Fatalf("%+v", table.Partitions)
			}
			end = p.Start + p.Size
		}
	})
}
