package grub

import (
	"testing"

	"imagecustomizer/internal/hostcmd"
)

// output runs a program that must be there and succeed.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := hostcmd.Unconfined("a test", program, args...).Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, program string, args ...string) error {
	t.Helper()
	return hostcmd.Unconfined("a test", program, args...).Run(t.Context())
}
