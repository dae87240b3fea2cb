package mounts

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Swap is a file that the system swaps to.
type Swap struct {
	Size config.Size `yaml:"size" required:"true" doc:"How large the file is, 1M at least." example:"512M"`
	Path SwapPath    `yaml:"path" default:"/swapfile" doc:"Where it is in the image, on ext4, xfs or btrfs."`
}

// SwapPath is an absolute path that can stand in fstab as it is.
type SwapPath string

// Describe tells how the path is written.
func (SwapPath) Describe() config.Form { return OverlayPath("").Describe() }

// Validate checks the form of the path.
func (p *SwapPath) Validate(at *config.At) { (*OverlayPath)(p).Validate(at) }

// Used tells whether there is to be one.
func (s Swap) Used() bool { return s.Size > 0 }

// Touches are the file, and the one that has the system use it.
func (s Swap) Touches() []feature.Touch {
	return []feature.Touch{{Path: s.path()}, {Path: feature.Fstab}}
}

func (s Swap) path() string {
	if s.Path == "" {
		return "/swapfile"
	}
	return string(s.Path)
}

// Plan makes the file, if there is room for it.
func (s Swap) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	step := AddSwap{File: s.path(), Size: int64(s.Size), UUID: g.Seed.UUID("swap")}
	f := g.Facts.FilesystemOf(step.File)
	switch {
	case g.NewDisk: // whose filesystems are looked at when they are there
	case f.Type != "" && !slices.Contains(swapFilesystems, f.Type):
		return nil, []plan.Problem{{Path: "os.swap.path", Text: fmt.Sprintf("%s lies on %s, on which the kernel cannot swap", step.File, f.Type), Hint: "put it on ext4, xfs or btrfs"}}
	case f.Type != "" && g.FreeIn(f) < uint64(step.Size):
		return nil, []plan.Problem{{
			Path: "os.swap.size", Text: fmt.Sprintf("there are %d MiB free at %s, and the file for swapping takes %d", g.FreeIn(f)>>20, f.MountPoint, step.Size>>20),
			Hint: fmt.Sprintf("make it smaller, or the disk larger with \"storage: {resizeDisk: {freeSpace: %dM, mountPoint: %s}}\"", step.Size>>20+512, f.MountPoint),
		}}
	}
	return plan.Plan{step}, nil
}

// Record is all of it.
func (s Swap) Record() (any, error) {
	return feature.RecordIf(s.Used(), map[string]any{"size": int64(s.Size), "path": s.path()})
}

// swapFilesystems are those on which the kernel swaps to files, and swapMagics the numbers by which it knows them.
var (
	swapFilesystems = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}
	swapMagics      = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC}
)

// AddSwap makes a file for swapping and enters it in fstab.
type AddSwap struct {
	File string
	Size int64
	UUID string
}

// Name identifies the step.
func (AddSwap) Name() string { return "swap" }

func (s AddSwap) String() string { return fmt.Sprintf("swap to %s, %d MiB", s.File, s.Size>>20) }

// Replaces are the file and fstab.
func (s AddSwap) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.swap", append([]string{feature.Fstab}, feature.Present(m, s.File)...)...)
}

// Check keeps a file that is something else.
func (s AddSwap) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if _, err := m.Root.Lstat(s.File); err != nil || isSwap(m, s.File) {
		return nil
	}
	return []plan.Problem{{Path: "os.swap.path", Text: s.File + " of the image is something else than a file for swapping", Hint: "name another path"}}
}

// swapMark ends the first page of a file for swapping, swapPage is the size of a page, and where that of a kernel is
// another, swapon says so.
const (
	swapMark = "SWAPSPACE2"
	swapPage = 4096
)

// noCopyOnWrite is FS_NOCOW_FL of linux/fs.h (chattr +C).
const noCopyOnWrite = 0x00800000

func isSwap(m *machine.Machine, name string) bool {
	f, err := m.Root.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	mark := make([]byte, len(swapMark))
	_, err = f.ReadAt(mark, swapPage-int64(len(swapMark)))
	return err == nil && string(mark) == swapMark
}

// Run makes the file anew, without holes, and sees that it has none.
func (s AddSwap) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	if err := m.Root.RemoveAll(s.File); err != nil {
		return err
	}
	if err := m.Root.MkdirAll(path.Dir(s.File), 0o755); err != nil {
		return err
	}
	f, err := m.Root.Create(s.File, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.fill(ctx, f); err != nil {
		return fmt.Errorf("make %s: %w", s.File, err)
	}
	return s.mount(m)
}

// newFile is a file that was just made.
type newFile interface {
	io.Writer
	Fd() uintptr
	Sync() error
}

// fill writes all of the file. On btrfs it must not be copied when it is written, nor compressed, which can only be set
// while it is empty.
func (s AddSwap) fill(ctx context.Context, f newFile) error {
	var on unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &on); err != nil {
		return err
	}
	if !slices.Contains(swapMagics, int64(on.Type)) {
		return fmt.Errorf("the kernel cannot swap on this filesystem (%#x): put it on ext4, xfs or btrfs", on.Type)
	}
	if int64(on.Type) == unix.BTRFS_SUPER_MAGIC {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, noCopyOnWrite); err != nil {
			return err
		}
	}
	if _, err := f.Write(s.header()); err != nil {
		return err
	}
	if err := zeros(ctx, f, s.Size-swapPage); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // before it is known where the blocks are
		return err
	}
	var is unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &is); err != nil {
		return err
	}
	if is.Blocks*512 < s.Size {
		return fmt.Errorf("it has holes, into which the kernel does not swap: %d of %d bytes are there", is.Blocks*512, s.Size)
	}
	return nil
}

func zeros(ctx context.Context, w io.Writer, n int64) error {
	chunk := make([]byte, 1<<20)
	for ; n > 0 && ctx.Err() == nil; n -= int64(len(chunk)) {
		if _, err := w.Write(chunk[:min(n, int64(len(chunk)))]); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// header is the first page, as mkswap writes it: version, last page, no bad pages, UUID.
func (s AddSwap) header() []byte {
	page := make([]byte, swapPage)
	binary.NativeEndian.PutUint32(page[1024:], 1)
	binary.NativeEndian.PutUint32(page[1028:], uint32(s.Size/swapPage-1))
	id, _ := hex.DecodeString(strings.ReplaceAll(s.UUID, "-", "")) // made by us
	copy(page[1036:], id)
	copy(page[swapPage-len(swapMark):], swapMark)
	return page
}

// mount has the system swap to the file. A line that does so already becomes this one.
func (s AddSwap) mount(m *machine.Machine) error {
	entry := disk.Entry{Source: s.File, Target: "none", Type: "swap", Options: []string{"sw"}}
	text, _ := m.Root.ReadFile(feature.Fstab) // AppendLines makes one
	f := disk.ParseFstab(string(text))
	for i := range f {
		if e := f[i].Entry; e != nil && e.Source == s.File {
			f[i].Entry = &entry
			return m.Root.WriteFile(feature.Fstab, []byte(f.String()), 0o644)
		}
	}
	return m.Root.AppendLines(feature.Fstab, 0o644, entry.String())
}

// Flags makes one.
func (Swap) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("swap", "SIZE", "os.swap.size", "Make a file of this size, such as 512M, that the system swaps to.")}
}
