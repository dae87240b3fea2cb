// Package verify looks for reasons why a finished image would not boot, or should not be handed out:
// a name that nothing in the image has, a kernel without its files, a file system that its own boot
// loader cannot read, traces of the host. It only reads. One file is one check.
package verify

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// checks is what is checked, in the order in which findings are reported.
var checks = []struct {
	name string
	run  func(*system) []Finding
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

// Finding is one thing that is wrong.
type Finding struct {
	Check   string `json:"check"`          // the check that found it
	File    string `json:"file,omitempty"` // in the image
	Line    int    `json:"line,omitempty"` // from 1; 0 where no line is meant
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitempty"` // the system boots all the same
	Lags    bool   `json:"-"`                 // it boots what was there before: no run may leave it so
}

// String is the finding in one line, with its place.
func (f Finding) String() string {
	switch {
	case f.File == "":
		return f.Text
	case f.Line == 0:
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// key tells whether two findings are the same. Lines move.
func (f Finding) key() Finding {
	return Finding{Check: f.Check, File: f.File, Text: f.Text}
}

// Run carries out all checks.
func Run(i Image) []Finding {
	var all []Finding
	start := time.Now()
	s := newSystem(i)
	for _, c := range checks {
		for _, f := range c.run(s) {
			f.Check = cmp.Or(f.Check, c.name)
			if !slices.ContainsFunc(all, func(g Finding) bool { return g.key() == f.key() }) {
				all = append(all, f)
			}
		}
	}
	slog.Debug("verified", "findings", len(all), "entries", len(s.menu.Entries), "kernels", len(s.kernels), "scheme", s.scheme.String(), "took", time.Since(start).String())
	return all
}

// New returns what must keep an image from being handed out: what was not found before in the base
// image. Whatever is wrong with that is no fault of the run, and who wants to customize it can. known
// are the findings to warn of: what is still wrong, and new ones that keep nothing from booting.
func New(before, after []Finding) (wrong, known []Finding) {
	for _, f := range after {
		old := slices.ContainsFunc(before, func(b Finding) bool { return b.key() == f.key() })
		switch {
		case f.Lags && !old:
			wrong = append(wrong, f)
		case f.Warning && old: // nobody need hear of it again
		case f.Warning || old:
			known = append(known, f)
		default:
			wrong = append(wrong, f)
		}
	}
	return wrong, known
}

// list collects the findings of a check.
type list []Finding

func (l *list) add(f Finding) { *l = append(*l, f) }

// at notes what is wrong with a line of a file.
func (l *list) at(file string, line int, format string, args ...any) {
	l.add(Finding{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// warn is at for what keeps no system from booting.
func (l *list) warn(file string, line int, format string, args ...any) {
	l.add(Finding{File: file, Line: line, Text: fmt.Sprintf(format, args...), Warning: true})
}

// hint says what to do about the last finding.
func (l list) hint(format string, args ...any) {
	l[len(l)-1].Hint = fmt.Sprintf(format, args...)
}
