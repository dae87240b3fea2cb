package verity

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// blocks is data of n blocks, some of them zero.
func blocks(t *testing.T, n int) []byte {
	t.Helper()
	data := make([]byte, n*BlockSize)
	random := rand.New(rand.NewSource(int64(n)))
	for b := range n {
		if b%3 != 0 {
			random.Read(data[b*BlockSize : (b+1)*BlockSize])
		}
	}
	return data
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func format(t *testing.T, data []byte, s Super) (hash []byte, root string) {
	t.Helper()
	f, err := os.OpenFile(write(t, nil), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, err := Format(context.Background(), bytes.NewReader(data), f, 0, s)
	if err != nil {
		t.Fatal(err)
	}
	hash, err = io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return hash, hex.EncodeToString(sum)
}

var rootHash = regexp.MustCompile(`Root hash:\s+([0-9a-f]+)`)

// TestAsVeritysetup compares every byte with what veritysetup makes.
func TestAsVeritysetup(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 127, 128, 129, 128 * 128, 128*128 + 1, 5000} {
		for _, salt := range []string{"", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"} {
			data := blocks(t, n)
			s := Super{UUID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, DataBlocks: int64(n)}
			s.Salt, _ = hex.DecodeString(salt)
			ours, root := format(t, data, s)
			file := write(t, nil)
			out, err := exec.Command("veritysetup", "format", "--uuid", "01020304-0506-0708-090a-0b0c0d0e0f10", "--salt", max("-", salt),
				"--data-block-size", "4096", "--hash-block-size", "4096", "--hash", "sha256", write(t, data), file).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			theirs, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if want := rootHash.FindStringSubmatch(string(out))[1]; root != want {
				t.Errorf("%d blocks: root hash %s, veritysetup has %s", n, root, want)
			}
			if !bytes.Equal(ours, theirs) {
				t.Errorf("%d blocks, salt %q: the trees differ", n, salt)
			}
			if int64(len(theirs)) != Size(int64(n)) {
				t.Errorf("%d blocks: the tree has %d bytes, the computed size is %d", n, len(theirs), Size(int64(n)))
			}
		}
	}
}

// TestInline has veritysetup verify a tree that stands behind its data.
func TestInline(t *testing.T) {
	t.Parallel()
	const partition = 9<<20 + 12345
	size := InlineData(partition)
	if size != 8<<20 {
		t.Fatalf("%d bytes for data", size)
	}
	data := blocks(t, int(size/BlockSize))
	file := write(t, append(bytes.Clone(data), make([]byte, partition-size)...))
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root, err := Format(context.Background(), f, f, size, Super{UUID: [16]byte{1}, DataBlocks: size / BlockSize, Salt: []byte("salt")})
	if err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		return exec.Command("veritysetup", "verify", "--hash-offset", "8388608", file, file, hex.EncodeToString(root)).Run()
	}
	if err := verify(); err != nil {
		t.Error(err)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != partition {
		t.Errorf("the tree went over the end of the partition: %v %v", fi.Size(), err)
	}
	if _, err := f.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	if verify() == nil {
		t.Error("veritysetup accepts changed data: it is no judge here")
	}
}

func TestInlineDataIsTheMost(t *testing.T) {
	t.Parallel()
	for _, p := range []int64{1 << 20, 2<<20 - 1, 2 << 20, 64 << 20, 1<<30 + 4096, 100 << 30} {
		n := InlineData(p)
		if n%mib != 0 || n > 0 && n+Size(n/BlockSize) > p || n+mib+Size((n+mib)/BlockSize) <= p {
			t.Errorf("of %d bytes %d are for data", p, n)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	const n = 128*128 + 77
	clean := blocks(t, n)
	hash, text := format(t, clean, Super{DataBlocks: n, Salt: []byte{7}})
	root, _ := hex.DecodeString(text)
	for name, c := range map[string]struct {
		damage func(data, hash, root []byte)
		want   string
	}{
		"none":              {func(_, _, _ []byte) {}, ""},
		"a byte of data":    {func(d, _, _ []byte) { d[129*BlockSize+5] ^= 1 }, "block 129 of the data"},
		"a byte of a level": {func(_, h, _ []byte) { h[BlockSize+40] ^= 1 }, "the hash tree is damaged at byte 4136"},
		"another root hash": {func(_, _, r []byte) { r[0] ^= 1 }, "was expected"},
		"no superblock":     {func(_, h, _ []byte) { h[0] ^= 1 }, "no verity superblock"},
		"another algorithm": {func(_, h, _ []byte) { copy(h[32:], "sha512") }, "sha512"},
	} {
		data, hash, root := bytes.Clone(clean), bytes.Clone(hash), bytes.Clone(root)
		c.damage(data, hash, root)
		err := Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(hash), 0, root)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFormatIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := os.OpenFile(write(t, nil), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Format(ctx, bytes.NewReader(blocks(t, 300)), f, 0, Super{DataBlocks: 300}); err == nil {
		t.Error("no error")
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	devices := []Device{
		{Name: "root", RootHash: "ab", Data: "PARTUUID=1", Hash: "PARTUUID=2", Options: []string{"panic-on-corruption"}},
		Device{Name: "usr", RootHash: "cd", Data: "PARTLABEL=u", Hash: "PARTLABEL=u"}.WithHashOffset(4096),
	}
	args := Args(devices)
	want := strings.Fields(`rd.systemd.verity=1 roothash=ab systemd.verity_root_data=PARTUUID=1 systemd.verity_root_hash=PARTUUID=2
		systemd.verity_root_options=panic-on-corruption usrhash=cd systemd.verity_usr_data=PARTLABEL=u systemd.verity_usr_hash=PARTLABEL=u
		systemd.verity_usr_options=hash-offset=4096`)
	if d := cmp.Diff(want, args); d != "" {
		t.Error(d)
	}
	got, err := Parse(append([]string{"quiet", "roothash=00"}, args...))
	if d := cmp.Diff(devices, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if n, err := got[1].HashOffset(); n != 4096 || err != nil {
		t.Error(n, err)
	}
	if _, err := Parse([]string{"roothash=ab"}); err == nil {
		t.Error("half a description is accepted")
	}
}

func BenchmarkFormat(b *testing.B) {
	data := make([]byte, 256<<20)
	rand.New(rand.NewSource(1)).Read(data)
	f, err := os.Create(filepath.Join(b.TempDir(), "hash"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Format(context.Background(), bytes.NewReader(data), f, 0, Super{DataBlocks: int64(len(data) / BlockSize), Salt: make([]byte, 32)}); err != nil {
			b.Fatal(err)
		}
	}
}

// holes is data whose zero blocks are known; it fails the test when one is read.
type holes struct {
	*bytes.Reader
	t    *testing.T
	data []byte
}

func (h holes) Zero(at, n int64) bool { return firstDifference(h.data[at:at+n], make([]byte, n)) < 0 }

func (h holes) ReadAt(p []byte, at int64) (int, error) {
	if h.Zero(at, int64(len(p))) {
		h.t.Errorf("%d zero bytes at %d were read", len(p), at)
	}
	return h.Reader.ReadAt(p, at)
}

func TestHolesAreNotRead(t *testing.T) {
	t.Parallel()
	const n = 5*perBlock + 3
	data := blocks(t, n)
	clear(data[perBlock*BlockSize : 3*perBlock*BlockSize])
	clear(data[5*perBlock*BlockSize:])
	s := Super{DataBlocks: n, Salt: []byte("salt")}
	want, wantRoot := format(t, data, s)
	got, gotRoot := format(t, data, s)
	if !bytes.Equal(want, got) || wantRoot != gotRoot {
		t.Fatal("the same data has two trees")
	}
	f, err := os.OpenFile(write(t, nil), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root, err := Format(context.Background(), holes{bytes.NewReader(data), t, data}, f, 0, s)
	if err != nil || hex.EncodeToString(root) != wantRoot {
		t.Error("with holes the tree is another", err)
	}
}
