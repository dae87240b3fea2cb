// Command imagecustomizer changes an existing Linux disk image offline, as one config file says.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/cli"
	"imagecustomizer/internal/cow"
	"imagecustomizer/internal/sandbox"
)

func main() {
	if status, ok := cow.Main(); ok {
		os.Exit(status)
	}
	if status, ok := sandbox.Main(app.Worker); ok {
		os.Exit(status)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
