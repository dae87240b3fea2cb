// Package verity makes and checks hash trees of dm-verity, and writes and reads the kernel arguments
// by which systemd sets such devices up at boot. A tree is byte for byte what veritysetup(8) makes.
package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// BlockSize is the size of data and hash blocks, in bytes.
const BlockSize = 4096

const (
	perBlock = BlockSize / sha256.Size // hashes in a hash block
	maxSalt  = 256
	mib      = 1 << 20
)

// Super is the superblock that stands before a hash tree (cryptsetup's wiki, "DMVerity"). Only trees
// of format 1 with SHA-256 and blocks of 4096 bytes are known.
type Super struct {
	UUID       [16]byte
	DataBlocks int64
	Salt       []byte
}

// superblock is the form of a superblock on the disk.
type superblock struct {
	Magic             [8]byte
	Version, HashType uint32
	UUID              [16]byte
	Algorithm         [32]byte
	DataBlock, Hash   uint32 // block sizes
	DataBlocks        uint64
	SaltSize          uint16
	_                 [6]byte
	Salt              [maxSalt]byte
	_                 [168]byte
}

var (
	magic     = [8]byte{'v', 'e', 'r', 'i', 't', 'y'}
	algorithm = [32]byte{'s', 'h', 'a', '2', '5', '6'}
)

// ReadSuper reads the superblock at an offset.
func ReadSuper(r io.ReaderAt, at int64) (Super, error) {
	var b superblock
	if err := binary.Read(io.NewSectionReader(r, at, BlockSize), binary.LittleEndian, &b); err != nil {
		return Super{}, fmt.Errorf("read the verity superblock: %w", err)
	}
	switch {
	case b.Magic != magic:
		return Super{}, errors.New("there is no verity superblock")
	case b.Version != 1 || b.HashType != 1 || b.Algorithm != algorithm || b.DataBlock != BlockSize || b.Hash != BlockSize:
		return Super{}, fmt.Errorf("the hash tree is of format %d with hash algorithm %s and block sizes %d and %d; only format 1 with sha256 and blocks of %d bytes is supported",
			b.HashType, bytes.TrimRight(b.Algorithm[:], "\x00"), b.DataBlock, b.Hash, BlockSize)
	case b.SaltSize > maxSalt || b.DataBlocks == 0 || b.DataBlocks > 1<<50:
		return Super{}, errors.New("the verity superblock is damaged")
	}
	return Super{UUID: b.UUID, DataBlocks: int64(b.DataBlocks), Salt: slices.Clone(b.Salt[:b.SaltSize])}, nil
}

func (s Super) block() []byte {
	b := superblock{
		Magic: magic, Version: 1, HashType: 1, UUID: s.UUID, Algorithm: algorithm, DataBlock: BlockSize, Hash: BlockSize,
		DataBlocks: uint64(s.DataBlocks), SaltSize: uint16(len(s.Salt)),
	}
	copy(b.Salt[:], s.Salt)
	out := make([]byte, 0, BlockSize)
	out, _ = binary.Append(out, binary.LittleEndian, b) // a fixed size: it cannot fail
	return out[:BlockSize]
}

// levels are the numbers of hash blocks on each level of a tree, that next to the data first.
func levels(dataBlocks int64) (counts []int64) {
	for n := dataBlocks; n > 1; {
		n = (n + perBlock - 1) / perBlock
		counts = append(counts, n)
	}
	return counts
}

// Size is what the superblock and the tree over so many blocks take, in bytes.
func Size(dataBlocks int64) int64 {
	blocks := int64(1)
	for _, n := range levels(dataBlocks) {
		blocks += n
	}
	return blocks * BlockSize
}

// InlineData is how many bytes of a partition are for data when its hash tree stands behind them:
// the most that fits, in whole MiB.
func InlineData(partition int64) int64 {
	fits := func(n int64) bool { return n*mib+Size(n*mib/BlockSize) <= partition }
	return int64(sort.Search(int(partition/mib)+1, func(n int) bool { return !fits(int64(n)) })-1) * mib
}

// Format writes the superblock at an offset of hash, and the tree behind it, and returns the root
// hash.
func Format(ctx context.Context, data io.ReaderAt, hash io.WriterAt, at int64, s Super) ([]byte, error) {
	if _, err := hash.WriteAt(s.block(), at); err != nil {
		return nil, err
	}
	return s.build(ctx, data, func(_, position int64, content []byte) error {
		_, err := hash.WriteAt(content, at+position)
		return err
	})
}

// Verify recomputes a tree and compares it with the one that stands at an offset of hash, and with
// the root hash.
func Verify(ctx context.Context, data, hash io.ReaderAt, at int64, root []byte) error {
	s, err := ReadSuper(hash, at)
	if err != nil {
		return err
	}
	got, err := s.build(ctx, data, func(block, position int64, content []byte) error {
		stored := make([]byte, BlockSize)
		if _, err := hash.ReadAt(stored, at+position); err != nil {
			return err
		}
		if i := firstDifference(stored, content); i >= 0 && block >= 0 {
			return fmt.Errorf("block %d of the data does not have the hash that the tree holds for it", block+int64(i/sha256.Size))
		} else if i >= 0 {
			return fmt.Errorf("the hash tree is damaged at byte %d", at+position+int64(i))
		}
		return nil
	})
	if err == nil && !bytes.Equal(got, root) {
		err = fmt.Errorf("the root hash is %s, but %s was expected", hex.EncodeToString(got), hex.EncodeToString(root))
	}
	return err
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// emit takes a finished hash block: its position behind the superblock's beginning, and the number
// of the first data block it covers, or -1 for those further up.
type emit func(dataBlock, position int64, content []byte) error

// build computes a tree from the data up and returns the root hash. Hash blocks of a level are
// hashed as soon as they are complete, so that only those hashes need memory.
func (s Super) build(ctx context.Context, data io.ReaderAt, out emit) ([]byte, error) {
	counts := levels(s.DataBlocks)
	position := Size(s.DataBlocks)
	if len(counts) == 0 {
		block := make([]byte, BlockSize)
		_, err := data.ReadAt(block, 0)
		return s.hasher().sum(block), err
	}
	position -= counts[0] * BlockSize
	hashes, err := s.overData(ctx, data, counts[0], func(i int64, content []byte) error { return out(i*perBlock, position+i*BlockSize, content) })
	if err != nil {
		return nil, err
	}
	for _, n := range counts[1:] {
		position -= n * BlockSize
		next := make([]byte, n*sha256.Size)
		h := s.hasher()
		for i := range n {
			block := make([]byte, BlockSize)
			copy(block, hashes[i*BlockSize:])
			if err := out(-1, position+i*BlockSize, block); err != nil {
				return nil, err
			}
			copy(next[i*sha256.Size:], h.sum(block))
		}
		hashes = next
	}
	return hashes, nil
}

// overData computes the n hash blocks over the data on all processors, and returns their hashes.
func (s Super) overData(ctx context.Context, data io.ReaderAt, n int64, out func(i int64, content []byte) error) ([]byte, error) {
	hashes := make([]byte, n*sha256.Size)
	errs := make([]error, runtime.NumCPU())
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			h := s.hasher()
			input := make([]byte, perBlock*BlockSize)
			for i := next.Add(1) - 1; i < n && errs[w] == nil; i = next.Add(1) - 1 {
				if errs[w] = context.Cause(ctx); errs[w] != nil {
					break
				}
				content := make([]byte, BlockSize)
				if errs[w] = h.level0(data, input, i, s.DataBlocks, content); errs[w] == nil {
					copy(hashes[i*sha256.Size:], h.sum(content))
					errs[w] = out(i, content)
				}
			}
			if errs[w] != nil {
				next.Store(n) // the others need not go on
			}
		})
	}
	wg.Wait()
	return hashes, errors.Join(errs...)
}

// hasher hashes blocks behind the salt. Blocks of zeros, of which images have many, are hashed once.
type hasher struct {
	salt  int
	input []byte
	zero  [sha256.Size]byte
}

var zeros [BlockSize]byte

func (s Super) hasher() *hasher {
	h := &hasher{salt: len(s.Salt), input: append(slices.Clone(s.Salt), zeros[:]...)}
	h.zero = sha256.Sum256(h.input)
	return h
}

// Sparse is data that can tell, without reading it, that a part of it is zero.
type Sparse interface {
	io.ReaderAt
	Zero(at, n int64) bool
}

// level0 computes hash block i over the data.
func (h *hasher) level0(data io.ReaderAt, input []byte, i, dataBlocks int64, content []byte) error {
	blocks := min(perBlock, dataBlocks-i*perBlock)
	if s, ok := data.(Sparse); ok && s.Zero(i*perBlock*BlockSize, blocks*BlockSize) {
		copy(content, bytes.Repeat(h.zero[:], int(blocks)))
		return nil
	}
	if _, err := data.ReadAt(input[:blocks*BlockSize], i*perBlock*BlockSize); err != nil {
		return fmt.Errorf("read the data: %w", err)
	}
	for b := range blocks {
		copy(content[b*sha256.Size:], h.sum(input[b*BlockSize:(b+1)*BlockSize]))
	}
	return nil
}

func (h *hasher) sum(block []byte) []byte {
	if bytes.Equal(block, zeros[:]) {
		return h.zero[:]
	}
	copy(h.input[h.salt:], block)
	sum := sha256.Sum256(h.input)
	return sum[:]
}

// CheckRoot compares a root hash with the topmost block of the tree at an offset of hash. The hashes
// in that block stand for all the rest, which only Verify reads.
func CheckRoot(hash io.ReaderAt, at int64, root []byte) error {
	s, err := ReadSuper(hash, at)
	if err != nil {
		return err
	}
	if len(levels(s.DataBlocks)) == 0 {
		return nil // one block of data: it has the root hash itself
	}
	top := make([]byte, BlockSize)
	if _, err := hash.ReadAt(top, at+BlockSize); err != nil {
		return err
	}
	if got := s.hasher().sum(top); !bytes.Equal(got, root) {
		return fmt.Errorf("the root hash is %s, but %s was expected", hex.EncodeToString(got), hex.EncodeToString(root))
	}
	return nil
}
