package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"imagecustomizer/internal/hostcmd"
)

// largeBudget is how much longer a disk with an empty tail up to 100 GiB may take.
const (
	largeBudget = 1.15
	largeSize   = "100G"
)

// largeDisks compares a disk with the same one with a large empty tail: the cost must follow the data.
func (b *bench) largeDisks(ctx context.Context) error {
	var formats []string
	for _, f := range []string{"raw", "qcow2", "vhd", "vhdx"} {
		if b.match.MatchString(f + " large") {
			formats = append(formats, f)
		}
	}
	if len(formats) == 0 {
		return nil
	}
	fmt.Println("no change: virtual size of " + largeSize + " against the small disk")
	small, large := filepath.Join(b.dir, "small.raw"), filepath.Join(b.dir, "large.raw")
	text, err := hostcmd.Unconfined("a test", "test/base/debian.sh", "debian12-efi").Output(ctx)
	if err != nil {
		return err
	}
	for _, c := range []*hostcmd.Cmd{
		hostcmd.Unconfined("a test", "cp", "--sparse=always", lastLine(text), small),
		hostcmd.Unconfined("a test", "cp", "--sparse=always", lastLine(text), large),
		hostcmd.Unconfined("a test", "truncate", "-s", largeSize, large),
		hostcmd.Unconfined("a test", "sgdisk", "--move-second-header", large),
	} {
		if err := c.Run(ctx); err != nil {
			return err
		}
	}
	for _, format := range formats {
		if err := b.large(ctx, small, large, format); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) large(ctx context.Context, small, large, format string) error {
	config := filepath.Join(b.dir, "config.yaml")
	if err := os.WriteFile(config, []byte(jobs[0].config), 0o644); err != nil {
		return err
	}
	var sides []*side
	for _, raw := range []string{large, small} {
		base := raw
		if format != "raw" {
			driver := map[string]string{"vhd": "vpc"}[format]
			if driver == "" {
				driver = format
			}
			base = raw + "." + format
			if err := convert(ctx, raw, driver, base); err != nil {
				return err
			}
		}
		out := filepath.Join(b.dir, "out."+format)
		sides = append(sides, &side{out: out, command: b.ours(base, format, config, out)})
	}
	if err := b.compare(ctx, sides[0], sides[1]); err != nil {
		return err
	}
	x, y := sides[0].median(), sides[1].median()
	fmt.Printf("%-6s %8.2f s, small %8.2f s\n", format, x.wall.Seconds(), y.wall.Seconds())
	b.want("wall time of the small disk's", x.wall.Seconds()/y.wall.Seconds(), largeBudget, "")
	return nil
}
