// Package verify looks for reasons why a finished image would not boot, or should not be handed out:
// a name that nothing in the image has, a kernel without its files, a file system that its own boot
// loader cannot read, traces of the host. It only reads. One file is one check.
package verify

import (
	"context"
	"log/slog"
	"time"
)

// checks is what is checked, in the order in which findings are reported.
var checks = []struct {
	name string
	run  func(*system, *list)
}{
	{"partition table", partitionTable}, // it and its backup agree, and end where the disk ends
	{"fstab", fstab},                    // every source is in the image, with the type that it says
	{"boot loader", efiLoader},          // where the firmware looks
	{"boot sector", biosLoader},         // likewise, for a BIOS
	{"boot menu", menu},                 // what its lines search for and load is there
	{"kernel arguments", arguments},     // the devices that they name are there
	{"verity", verityTrees},             // the root hashes are those of the hash trees
	{"kernels", kernels},                // each has modules, an initramfs and a boot entry
	{"systemd-boot", systemdBoot},       // its settings select an entry, and there is room for the next kernel
	{"drivers", drivers},                // kernels and fsck know the filesystems
	{"features", features},              // file systems that the image's own programs can read
	{"host", host},                      // nothing names a device or path of the machine it was made on
	{"leftovers", leftovers},            // nothing of this program's is left
	{"init", startsInit},                // there is something to start as the first process
	{"parts", parts},                    // and what it needs
	{"root", readOnlyRoot},              // the system can write where it must
	{"units", units},                    // what systemd is to start is there
	{"clones", twins},                   // nothing that tells machines apart is in the image
}

// Run carries out all checks. A context that ends, ends it early.
func Run(ctx context.Context, i Image) []Finding {
	var all []Finding
	start := time.Now()
	s := newSystem(ctx, i)
	for _, c := range checks {
		found := newList(c.name)
		c.run(s, found)
		all = append(all, found.all()...)
	}
	all = append(append(all, s.broken.all()...), s.unlooked()...)
	slog.Debug("verified", "findings", len(all), "entries", len(s.menu.Entries), "kernels", len(s.kernels), "scheme", s.scheme.String(), "took", time.Since(start).String())
	return all
}
