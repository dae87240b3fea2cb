// Command bench compares the program with a plain script that does the same by hand, in alternating
// runs, and prints medians and their ratio. Only the ratio means anything on another machine.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/hostcmd"
)

// rounds is how often each side runs; odd, so that the median is one of the runs.
const rounds = 3

// job is one piece of work both sides do.
type job struct {
	name   string
	config string // for the program
	script string // for the reference, run in the image
}

var jobs = []job{
	{"no change", "os: {imageHistory: none}\n", ""},
	{"hostname, user, file, script", `
os:
  hostname: bench
  users:
  - name: bench
    password: {type: locked}
  additionalFiles:
  - {content: "bench\n", destination: /etc/bench}
scripts:
  postCustomization:
  - content: "echo script > /etc/bench-script"
`, "printf bench > /etc/hostname; useradd -m bench; echo bench > /etc/bench; echo script > /etc/bench-script"},
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("/var/tmp", "imagecustomizer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := hostcmd.New("test/base/debian.sh", "debian12-efi").Output(ctx)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	raw := lines[len(lines)-1]
	fmt.Printf("%-8s %-30s %10s %10s %8s\n", "format", "job", "program", "script", "ratio")
	for _, format := range []string{"raw", "qcow2", "vhdx"} {
		base := filepath.Join(dir, "base."+format)
		if err := hostcmd.New("qemu-img", "convert", "-f", "raw", "-O", format, raw, base).Run(ctx); err != nil {
			return err
		}
		for _, j := range jobs {
			if err := compare(ctx, dir, base, format, j); err != nil {
				return err
			}
		}
	}
	return nil
}

func compare(ctx context.Context, dir, base, format string, j job) error {
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(j.config), 0o644); err != nil {
		return err
	}
	out := filepath.Join(dir, "out."+format)
	ours := hostcmd.New("bin/imagecustomizer", "--build-dir", filepath.Join(dir, "build"), "--image-file", base,
		"--output-image-file", out, "--output-image-format", format, "--config-file", config, "--log-level", "error")
	script := hostcmd.New("test/bench/reference.sh", base, format, out, j.script)
	var a, b []time.Duration
	for range rounds {
		for c, times := range map[*hostcmd.Cmd]*[]time.Duration{ours: &a, script: &b} {
			start := time.Now()
			if err := c.Run(ctx); err != nil {
				return err
			}
			*times = append(*times, time.Since(start))
		}
	}
	x, y := median(a), median(b)
	fmt.Printf("%-8s %-30s %9.2fs %9.2fs %8.2f\n", format, j.name, x.Seconds(), y.Seconds(), x.Seconds()/y.Seconds())
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
