package boot

import (
	"fmt"
	"io/fs"

	"imagecustomizer/internal/rootfs"
)

// Limits on what an image may have of what a boot loader reads. No loader would show as much.
const (
	maxEntries   = 2048     // boot entries
	maxEntryFile = 64 << 10 // bytes
	maxNamed     = 8192     // filesystems and files that a configuration names otherwise
	maxKernels   = 256      // installed ones
	maxVariables = 512      // of GRUB
	maxValue     = 16 << 10 // bytes of the value of a variable
	maxLoads     = 32       // files that set variables
	maxLoaders   = 16       // EFI programs that are looked at in one directory
)

// tooMany is the error of an image that has more of something.
func tooMany(what string, limit int) error {
	return fmt.Errorf("there are more than %d %s", limit, what)
}

// menu reads what a boot loader shows.
func menu(files Files, name string) ([]byte, error) { return files.ReadAs(rootfs.Menu, name) }

// setting reads a file that people write, or that is as small.
func setting(files Files, name string) ([]byte, error) { return files.ReadAs(rootfs.Setting, name) }

// few are as many names of a directory as are looked at.
func few(entries []fs.DirEntry, limit int) []fs.DirEntry { return entries[:min(len(entries), limit)] }
