// Command demo shows the main job on a real image: it builds a Debian base image, customizes it with
// the command line of the README, boots the result in QEMU and looks there for every change.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/vm"
)

// check is one thing to find in the booted system.
type check struct {
	what   string
	script string
	want   string
}

var checks = []check{
	{"the hostname", "hostname", "demo-host"},
	{"the package, working", "echo '{\"a\":42}' | jq .a", "42"},
	{"the group", "getent group operators", "operators:x:1500:alice"},
	{"the user, with a home", "su - alice -c pwd", "/home/alice"},
	{"the user's ssh key", "stat -c '%U %a' /home/alice/.ssh/authorized_keys", "alice 600"},
	{"the file, with its mode", "stat -c %a /etc/demo/demo.conf; cat /etc/demo/demo.conf", "600\nanswer = 42"},
	{"the folder", "cat /etc/demo/motd.d/10-demo", "Welcome to the demo."},
	{"the service, started", "cat /run/demo-service; systemctl is-active demo", "ran\nactive"},
	{"the kernel module, with its option", "cat /sys/module/nbd/parameters/nbds_max", "3"},
	{"the kernel argument", "grep -o demo.argument=1 /proc/cmdline", "demo.argument=1"},
	{"what the script wrote", "cat /etc/demo/script", "made by the demo on debian"},
	{"no failed unit", "systemctl --failed --no-legend | wc -l", "0"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("/var/tmp", "imagecustomizer-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	base := filepath.Join(dir, "base.vhdx")
	if err := makeBase(ctx, base); err != nil {
		return err
	}
	out := filepath.Join(dir, "out", "image.vhdx")
	if err := customize(ctx, dir, base, out); err != nil {
		return err
	}
	return boot(ctx, out)
}

func makeBase(ctx context.Context, base string) error {
	fmt.Println("-- a Debian 12 base image, as vhdx (built once, then cached)")
	text, err := hostcmd.Unconfined("a test", "test/base/debian.sh", "debian12-efi").Output(ctx)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return hostcmd.Unconfined("a test", "qemu-img", "convert", "-f", "raw", "-O", "vhdx", lines[len(lines)-1], base).Run(ctx)
}

func customize(ctx context.Context, dir, base, out string) error {
	c := hostcmd.Unconfined("a test", "bin/imagecustomizer",
		"--build-dir", filepath.Join(dir, "build"),
		"--image-file", base,
		"--output-image-file", out,
		"--output-image-format", "vhdx",
		"--config-file", "test/demo/config/demo.yaml")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	fmt.Println("--", c)
	start := time.Now()
	if err := c.Run(ctx); err != nil {
		return err
	}
	fmt.Printf("-- customized in %.1f s\n", time.Since(start).Seconds())
	return nil
}

func boot(ctx context.Context, image string) error {
	fmt.Println("-- booting the result in QEMU")
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	start := time.Now()
	m, err := vm.Start(ctx, vm.Options{Image: image, Format: "vhdx"})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Login(ctx, "root", "root"); err != nil {
		return fmt.Errorf("%w\n%s", err, m.Console())
	}
	fmt.Printf("-- login after %.0f s; what is found there:\n", time.Since(start).Seconds())
	if _, _, err := m.Run(ctx, "systemctl is-system-running --wait"); err != nil {
		return err
	}
	missing := 0
	for _, c := range checks {
		got, _, err := m.Run(ctx, c.script)
		if err != nil {
			return err
		}
		if strings.TrimSpace(got) == c.want {
			fmt.Printf("   [x] %s\n", c.what)
			continue
		}
		missing++
		fmt.Printf("   [ ] %s: got %q, want %q\n", c.what, strings.TrimSpace(got), c.want)
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d checks failed", missing, len(checks))
	}
	fmt.Printf("-- all %d found\n", len(checks))
	return nil
}
