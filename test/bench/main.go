// Command bench compares the program with a plain script that does the same by hand, in alternating
// runs, and prints medians and their ratios. Only the ratios mean anything on another machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

var (
	rounds = flag.Int("rounds", 3, "how often each side runs; odd, so that the median is one of the runs")
	only   = flag.String("only", "", "run the cases whose name matches this regular expression")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench is what all cases share.
type bench struct {
	dir   string         // scratch folder
	match *regexp.Regexp // of the cases to run
	over  int            // budgets that were missed
}

func run(ctx context.Context) error {
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/tmp", "imagecustomizer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, match: match}
	for _, part := range []func(context.Context) error{b.customize, b.archive, b.storage, b.largeDisks, b.iso} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if b.over > 0 {
		return fmt.Errorf("%d budgets were missed", b.over)
	}
	return nil
}

// side is one of the two programs that are compared.
type side struct {
	command *hostcmd.Cmd
	out     string // removed before each run: freeing an old image takes longer than naming a new one
	runs    []usage
}

// compare runs both sides in turn, so that what else the machine does hits both.
func (b *bench) compare(ctx context.Context, x, y *side) error {
	for range *rounds {
		for _, s := range []*side{x, y} {
			if err := os.RemoveAll(s.out); err != nil {
				return err
			}
			u, err := measure(ctx, s.command)
			if err != nil {
				return err
			}
			s.runs = append(s.runs, u)
		}
	}
	return nil
}

// median is the median of each figure over the runs.
func (s *side) median() (m usage) {
	middle := func(get func(usage) int64) int64 {
		var all []int64
		for _, u := range s.runs {
			all = append(all, get(u))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m.wall = time.Duration(middle(func(u usage) int64 { return int64(u.wall) }))
	m.cpu = time.Duration(middle(func(u usage) int64 { return int64(u.cpu) }))
	m.read = middle(func(u usage) int64 { return u.read })
	m.written = middle(func(u usage) int64 { return u.written })
	m.space = middle(func(u usage) int64 { return u.space })
	m.memory = middle(func(u usage) int64 { return u.memory })
	return m
}

// want prints a budget and whether it was kept.
func (b *bench) want(what string, got, limit float64, unit string) {
	verdict := "kept"
	if got > limit {
		verdict = "MISSED"
		b.over++
	}
	fmt.Printf("    %-8s %s: %.2f%s, budget %.2f%s\n", verdict, what, got, unit, limit, unit)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// ours is the program's command line for one image.
func (b *bench) ours(base, format, config, out string, more ...string) *hostcmd.Cmd {
	return hostcmd.Unconfined("a test", "bin/imagecustomizer", append([]string{
		"--build-dir", filepath.Join(b.dir, "build"), "--image-file", base,
		"--output-image-file", out, "--output-image-format", format, "--config-file", config, "--log-level", "error",
	}, more...)...)
}

func convert(ctx context.Context, from, format, to string) error {
	return hostcmd.Unconfined("a test", "qemu-img", "convert", "-f", "raw", "-O", format, from, to).Run(ctx)
}
