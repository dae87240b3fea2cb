package liveos

import (
	"context"
	"errors"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/machine"
)

func fullOS(ctx context.Context, m *machine.Machine, list []boot.Kernel, out string) error {
	return errors.New("not yet")
}
