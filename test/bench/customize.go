package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// job is one piece of work that both sides do.
type job struct {
	name     string
	config   string   // for the program
	packages []string // installed by both, from a folder
	script   string   // for the reference, run in the image
	budget   float64  // of the script's wall time
}

// unchanged is a config that asks for nothing.
const unchanged = "os: {imageHistory: none}\n"

var jobs = []job{
	{name: "a: no change", config: unchanged, budget: 0.6},
	{name: "b: hostname, users, files, script", config: `
os:
  hostname: bench
  users:
  - name: bench
    password: {type: locked}
  - name: other
  additionalFiles:
  - {content: "bench\n", destination: /etc/bench}
  - {content: "more\n", destination: /etc/more}
scripts:
  postCustomization:
  - content: "echo script > /etc/bench-script"
`, script: `printf bench > /etc/hostname; useradd -m bench; useradd -m other; echo bench > /etc/bench; echo more > /etc/more
echo script > /etc/bench-script`, budget: 0.6},
	{
		name: "c: three packages", config: "os: {packages: {install: [jq, tree, tcpdump]}}\n",
		packages: []string{"jq", "tree", "tcpdump"}, budget: 0.8,
	},
	{
		name: "d: a second kernel", config: "os: {packages: {install: [linux-image-amd64]}}\n",
		packages: []string{"linux-image-amd64"}, budget: 0.35,
	},
}

// wanted are the jobs that are to be done in a format.
func (b *bench) wanted(format string) (list []job) {
	for _, j := range jobs {
		if b.match.MatchString(format + " " + j.name) {
			list = append(list, j)
		}
	}
	return list
}

// customize compares every job in every format.
func (b *bench) customize(ctx context.Context) error {
	formats := slices.DeleteFunc([]string{"raw", "qcow2", "vhdx"}, func(f string) bool { return len(b.wanted(f)) == 0 })
	if len(formats) == 0 {
		return nil
	}
	raw, err := b.distributionDefaults(ctx, "debian12-efi")
	if err != nil {
		return err
	}
	used, err := allocated(raw)
	if err != nil {
		return err
	}
	fmt.Printf("customize, %d MiB used; medians of %d runs\n", used>>20, *rounds)
	fmt.Printf("%-6s %-34s %8s %8s %6s | %7s %7s | %5s %5s | %6s %6s | %5s %5s | %s\n", "format", "job",
		"wall s", "script", "ratio", "cpu s", "script", "rdMiB", "wrMiB", "script", "script", "progs", "script", "memMiB")
	for _, format := range formats {
		base := filepath.Join(b.dir, "base."+format)
		if format == "raw" {
			base = raw
		} else if err := convert(ctx, raw, format, base); err != nil {
			return err
		}
		for _, j := range b.wanted(format) {
			if err := b.job(ctx, base, format, j, used); err != nil {
				return fmt.Errorf("%s, %s: %w", format, j.name, err)
			}
		}
	}
	return nil
}

// distributionDefaults is one of the test suite's Debian images, but with initramfs images compressed as
// Debian does, which the suite makes faster for its own sake.
func (b *bench) distributionDefaults(ctx context.Context, variant string) (string, error) {
	text, err := hostcmd.Unconfined("a test", "test/base/debian.sh", variant).Output(ctx)
	if err != nil {
		return "", err
	}
	config, out := filepath.Join(b.dir, "defaults.yaml"), filepath.Join(b.dir, variant+".raw")
	script := "scripts: {postCustomization: [{content: rm /etc/dracut.conf.d/10-compress.conf}]}\n"
	if err := os.WriteFile(config, []byte(script), 0o644); err != nil {
		return "", err
	}
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	return out, b.ours(lastLine(text), "raw", config, out).Run(ctx)
}

// allocated is how many bytes of a sparse file hold data.
func allocated(path string) (int64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return st.Blocks * 512, err
}

func (b *bench) job(ctx context.Context, base, format string, j job, used int64) error {
	config, out := filepath.Join(b.dir, "config.yaml"), filepath.Join(b.dir, "out."+format)
	if err := os.WriteFile(config, []byte(j.config), 0o644); err != nil {
		return err
	}
	var more []string
	packages := ""
	if len(j.packages) > 0 {
		text, err := hostcmd.Unconfined("a test", "test/base/debs.sh", j.packages...).Output(ctx)
		if err != nil {
			return err
		}
		packages = lastLine(text)
		more = []string{"--deb-source", packages, "--disable-base-image-rpm-repos"}
	}
	ours := &side{out: out, command: b.ours(base, format, config, out, more...)}
	script := &side{out: out, command: hostcmd.Unconfined("a test", "test/bench/reference.sh", base, format, out, j.script, packages)}
	if err := b.compare(ctx, ours, script); err != nil {
		return err
	}
	return b.report(ctx, ours, script, format, j, used)
}

func (b *bench) report(ctx context.Context, ours, script *side, format string, j job, used int64) (err error) {
	x, y := ours.median(), script.median()
	for s, u := range map[*side]*usage{ours: &x, script: &y} {
		if u.programs, err = countPrograms(ctx, s.command, b.dir); err != nil {
			return err
		}
	}
	ratio := x.wall.Seconds() / y.wall.Seconds()
	fmt.Printf("%-6s %-34s %8.2f %8.2f %6.2f | %7.2f %7.2f | %5d %5d | %6d %6d | %5d %6d | %d\n", format, j.name,
		x.wall.Seconds(), y.wall.Seconds(), ratio, x.cpu.Seconds(), y.cpu.Seconds(),
		x.read>>20, x.written>>20, y.read>>20, y.written>>20, x.programs, y.programs, x.memory>>20)
	b.want("wall time of the script's", ratio, j.budget, "")
	b.want("peak memory of the program", float64(x.memory)/(1<<20), 60, " MiB")
	if j.name == jobs[0].name && format == "raw" {
		b.want("bytes written of those used", float64(x.written)/float64(used), 1.05, "")
		b.want("bytes read of those used", float64(x.read)/float64(used), 1.1, "")
		b.want("programs", float64(x.programs), 12, "")
	}
	return nil
}
