package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"imagecustomizer/internal/vm"
)

func main() {
	image := flag.String("image", "", "")
	format := flag.String("format", "iso", "")
	fw := flag.String("fw", "uefi", "")
	drive := flag.String("drive", "", "")
	secure := flag.Bool("secure", false, "")
	mem := flag.Int("mem", 2048, "")
	log := flag.String("log", "/var/tmp/iso-x/console.log", "")
	d := flag.Duration("t", 4*time.Minute, "")
	flag.Parse()
	f, _ := os.Create(*log)
	ctx, cancel := context.WithTimeout(context.Background(), *d)
	defer cancel()
	m, err := vm.Start(ctx, vm.Options{Image: *image, Format: *format, Firmware: vm.Firmware(*fw), Drive: vm.Drive(*drive), Secure: *secure, MemoryMiB: *mem, Log: f})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	start := time.Now()
	for _, s := range append([]string{"@login"}, flag.Args()...) {
		if s == "@reboot" {
			m.Run(ctx, "systemctl reboot --no-block")
			s = "@login"
		}
		if s == "@login" {
			if err := m.Login(ctx, "root", "root"); err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("login after", time.Since(start))
			continue
		}
		out, exit, err := m.Run(ctx, s)
		fmt.Printf("$ %s\n%s[%d %v]\n", s, out, exit, err)
	}
}
