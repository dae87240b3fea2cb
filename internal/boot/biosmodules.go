package boot

import (
	"crypto/sha256"
	"fmt"
	"path"

	"imagecustomizer/internal/rootfs"
)

// biosPlaces are where GRUB has its modules for BIOS.
var biosPlaces = []string{"/boot/grub/i386-pc", "/boot/grub2/i386-pc"}

// BIOSModules is a digest of GRUB's modules for BIOS, with which its core on the disk must have been made; "" where
// there are none.
func BIOSModules(files Files) (string, error) {
	sum, found := sha256.New(), 0
	for _, dir := range biosPlaces {
		entries, _ := files.ReadDir(dir)
		for _, e := range entries {
			if ext := path.Ext(e.Name()); ext != ".mod" && ext != ".img" {
				continue
			}
			data, err := files.ReadAs(rootfs.Program, path.Join(dir, e.Name()))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(sum, "%s %d\n", e.Name(), len(data))
			sum.Write(data)
			found++
		}
	}
	if found == 0 {
		return "", nil
	}
	return string(sum.Sum(nil)), nil
}
