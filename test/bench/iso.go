package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"imagecustomizer/internal/hostcmd"
)

// iso compares making a live medium with a script that copies the root filesystem to a folder and
// packs it with mksquashfs as it comes.
func (b *bench) iso(ctx context.Context) error {
	const name = "iso"
	if !b.match.MatchString(name) {
		return nil
	}
	text, err := hostcmd.Unconfined("a test", "test/base/debian.sh", "debian12-live").Output(ctx)
	if err != nil {
		return err
	}
	base, config := lastLine(text), filepath.Join(b.dir, "iso.yaml")
	if err := os.WriteFile(config, []byte("iso: {}\n"), 0o644); err != nil {
		return err
	}
	out, byHand := filepath.Join(b.dir, "ours.iso"), filepath.Join(b.dir, "theirs.iso")
	ours := &side{command: b.ours(base, "iso", config, out)}
	theirs := &side{command: hostcmd.Unconfined("a test", "test/bench/reference-iso.sh", base, byHand)}
	if err := b.compare(ctx, ours, theirs); err != nil {
		return err
	}
	sizes := [2]float64{}
	for i, f := range []string{out, byHand} {
		fi, err := os.Stat(f)
		if err != nil {
			return err
		}
		sizes[i] = float64(fi.Size())
	}
	a, t := ours.median(), theirs.median()
	fmt.Printf("%s: %.1f s against %.1f s, %.0f MiB against %.0f MiB\n", name, a.wall.Seconds(), t.wall.Seconds(), sizes[0]/(1<<20), sizes[1]/(1<<20))
	b.want("wall time", a.wall.Seconds()/t.wall.Seconds(), 0.25, "")
	b.want("size", sizes[0]/sizes[1], 1.05, "")
	// Most of the medium is the packed root filesystem, which takes no space besides.
	b.want("temporary space besides the working disk, of the medium's size", (float64(a.space)-sizes[0])/sizes[0], 1, "")
	return nil
}
