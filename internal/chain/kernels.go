package chain

import (
	"errors"
	"os"
	"path"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/signing"
)

// KernelFiles are the kernels in /boot of a system and, where they are the same, those beside their modules, which
// kernel-install takes.
func KernelFiles(root *rootfs.Root) (files []string, err error) {
	kernels, err := boot.Kernels(root)
	if err != nil {
		return nil, err
	}
	for _, k := range kernels {
		files = append(files, k.Image)
		beside := path.Join(k.Modules, "vmlinuz")
		if k.Modules == "" || beside == k.Image || slices.Contains(files, beside) || !sameFile(root, k.Image, beside) {
			continue
		}
		files = append(files, beside)
	}
	return files, nil
}

func sameFile(root *rootfs.Root, a, b string) bool {
	var sums [2][32]byte
	for i, name := range []string{a, b} {
		if root.WithFile(name, func(f *os.File) (err error) {
			sums[i], err = rootfs.SHA256(f)
			return err
		}) != nil {
			return false
		}
	}
	return sums[0] == sums[1]
}

// errCompressed is a kernel that only a boot loader can start.
var errCompressed = errors.New("it is compressed as a whole, so that firmware could not start it, and has no place for a signature")

// CheckKernel says what keeps a kernel from being signed.
func CheckKernel(root *rootfs.Root, name string, maker *signing.Maker) error {
	return root.WithFile(name, func(f *os.File) error {
		err := maker.Check(f)
		mark := make([]byte, 2)
		if _, read := f.ReadAt(mark, 0); err != nil && read == nil && mark[0] == 0x1f && mark[1] == 0x8b {
			return errCompressed
		}
		return err
	})
}
