package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// Make makes the filesystem on a device, which must be empty. Nothing is left to the host's
// configuration or to what its mkfs thinks is good today: the kernel and the boot loader of the image
// must be able to read it.
func (f Format) Make(ctx context.Context, device string) error {
	makers := map[string]func(context.Context, string) error{
		"ext4": f.makeExt4, "xfs": f.makeXFS, "btrfs": f.makeBtrfs, "vfat": f.makeFAT,
		"swap": func(ctx context.Context, d string) error {
			return hostcmd.New("mkswap", "-q", "-U", f.UUID, d).Writing(d).Run(ctx)
		},
	}
	m := makers[f.Type]
	if m == nil {
		return fmt.Errorf("%s filesystems cannot be made", f.Type)
	}
	if err := m(ctx, device); err != nil {
		return fmt.Errorf("make the %s filesystem of partition %d: %w", f.Type, f.Partition, err)
	}
	return nil
}

// mke2fsConf replaces the host's /etc/mke2fs.conf.
const mke2fsConf = `[defaults]
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
	inode_size = 256
[fs_types]
	ext4 = {
	}
`

func (f Format) makeExt4(ctx context.Context, device string) error {
	size, err := deviceSize(device)
	if err != nil {
		return err
	}
	conf, err := inMemory("mke2fs.conf", mke2fsConf)
	if err != nil {
		return err
	}
	defer conf.Close()
	if f.Size > 0 {
		size = f.Size
	}
	c := hostcmd.New("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-i", strconv.FormatInt(bytesPerInode(size), 10),
		"-O", "none,"+strings.Join(f.Features, ","), "-U", f.UUID, "-E", "nodiscard,"+lazyInit(ctx), device, strconv.FormatInt(size>>10, 10)+"k").Writing(device)
	c.Env = append([]string{"MKE2FS_CONFIG=/proc/self/fd/3"}, hostcmd.DefaultEnv...)
	c.ExtraFiles = []*os.File{conf}
	return c.Run(ctx)
}

// inMemory makes a file that is nowhere but in memory.
func inMemory(name, text string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteString(text); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// bytesPerInode is what mke2fs is usually configured to; small filesystems get more inodes.
func bytesPerInode(size int64) int64 {
	if size < 512<<20 {
		return 4096
	}
	return 16384
}

// lazyInit keeps inode tables from being written, which are zero as the device is. Only newer
// programs can also tell the kernel that there is nothing left to do.
func lazyInit(ctx context.Context) string {
	if version := toolVersion(ctx, "mke2fs", "-V"); slices.Compare(version, []int{1, 47}) >= 0 {
		return "assume_storage_prezeroed=1"
	}
	return "lazy_itable_init=1"
}

var versionText = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

// toolVersion is the version that a program of the host names, or nil.
func toolVersion(ctx context.Context, program string, args ...string) []int {
	var version []int
	c := hostcmd.New(program, args...)
	c.OnLine = func(line string) {
		if version == nil {
			version = Version(versionText.FindString(line))
		}
	}
	_ = c.Run(ctx) // whatever it thinks of the arguments
	return version
}

// Version reads a version's leading numbers: those of 6.1.0-18-amd64 are 6, 1, 0.
func Version(text string) (numbers []int) {
	for _, part := range strings.Split(text, ".") {
		digits := part
		if i := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = part[:i]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		if numbers = append(numbers, n); digits != part {
			break
		}
	}
	return numbers
}

// xfsOptions are the features of XFS by the option of mkfs.xfs that they belong to.
var xfsOptions = []struct {
	flag  string
	names []string
}{
	{"-m", []string{"crc", "finobt", "inobtcount", "bigtime", "reflink", "rmapbt", "metadir", "autofsck"}},
	{"-i", []string{"sparse", "nrext64", "exchange"}},
	{"-n", []string{"parent"}},
}

func (f Format) makeXFS(ctx context.Context, device string) error {
	usage := usageOf(ctx, "mkfs.xfs")
	args := []string{"-q", "-f", "-K", "-m", "uuid=" + f.UUID}
	for _, o := range xfsOptions {
		var list []string
		for _, name := range o.names {
			switch on := slices.Contains(f.Features, name); {
			case on && !strings.Contains(usage, name+"="):
				continue // an older host makes an older filesystem
			case on:
				list = append(list, name+"=1")
			case strings.Contains(usage, name+"="):
				list = append(list, name+"=0")
			}
		}
		if len(list) > 0 {
			args = append(args, o.flag, strings.Join(list, ","))
		}
	}
	if f.Label != "" {
		args = append(args, "-L", f.Label)
	}
	if f.Block > 0 {
		args = append(args, "-s", fmt.Sprintf("size=%d", f.Block))
	}
	if f.Size > 0 {
		args = append(args, "-d", fmt.Sprintf("size=%d", f.Size))
	}
	return hostcmd.New("mkfs.xfs", append(args, device)...).Writing(device).Run(ctx)
}

// usageOf is what a program of the host prints when it is given nothing to do.
func usageOf(ctx context.Context, program string, args ...string) string {
	var b strings.Builder
	c := hostcmd.New(program, args...)
	c.OnLine = func(line string) { b.WriteString(line + "\n") }
	_ = c.Run(ctx) // it fails, having been given nothing to do
	return b.String()
}

// btrfsFeatures are the features of btrfs that are on by default somewhere, and are set or unset here.
var btrfsFeatures = []string{"extref", "skinny-metadata", "no-holes", "free-space-tree", "block-group-tree"}

func (f Format) makeBtrfs(ctx context.Context, device string) error {
	args := []string{"-q", "-f", "-K", "--csum", "crc32c", "-U", f.UUID}
	for _, flag := range []string{"-O", "-R"} { // -R is what newer programs have in -O as well
		known := usageOf(ctx, "mkfs.btrfs", flag, "list-all")
		var list []string
		for _, name := range btrfsFeatures {
			if !strings.Contains(known, "\n"+name+" ") || flag == "-R" && slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, name) }) {
				continue
			}
			if !slices.Contains(f.Features, name) {
				name = "^" + name
			}
			list = append(list, name)
		}
		if len(list) > 0 {
			args = append(args, flag, strings.Join(list, ","))
		}
	}
	if f.Size > 0 {
		args = append(args, "--byte-count", strconv.FormatInt(f.Size, 10))
	}
	return hostcmd.New("mkfs.btrfs", append(args, device)...).Writing(device).Run(ctx)
}

// makeFAT leaves the width of the allocation table to mkfs.vfat, which firmware goes by too.
func (f Format) makeFAT(ctx context.Context, device string) error {
	return hostcmd.New("mkfs.vfat", "-i", strings.ReplaceAll(f.UUID, "-", ""), device).Writing(device).Run(ctx)
}

// Room is about how many bytes of files a filesystem of this size takes, at most.
func (f Format) Room(size int64) int64 {
	switch f.Type {
	case "ext4":
		const inode = 256
		return size - size/bytesPerInode(size)*inode - ext4Journal(size)
	case "xfs":
		const log = 64 << 20
		return size - log
	}
	return size
}

// ext4Journal is how large a journal mke2fs makes.
func ext4Journal(size int64) int64 {
	for _, s := range []struct{ below, journal int64 }{{128 << 20, 4 << 20}, {1 << 30, 16 << 20}, {2 << 30, 32 << 20}, {16 << 30, 64 << 20}, {32 << 30, 128 << 20}, {64 << 30, 256 << 20}} {
		if size < s.below {
			return s.journal
		}
	}
	return 1 << 30
}
