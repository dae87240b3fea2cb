package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"imagecustomizer/internal/disk"
)

// SetIdentifiers gives a detached disk, its partitions and what they hold other identifiers.
func SetIdentifiers(ctx context.Context, file *os.File, ids disk.Identifiers) error {
	if err := identifyContents(ctx, file, ids); err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return disk.EditGPT(file, size, func(t *disk.Table) error {
		t.ID = ids.Disk
		for i, p := range t.Partitions {
			t.Partitions[i].UUID = ids.Partitions[p.Number].Partition
		}
		return nil
	})
}

func identifyContents(ctx context.Context, file *os.File, ids disk.Identifiers) (err error) {
	d, err := Attach(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, v := range d.Volumes {
		id := ids.Partitions[v.Number].Content
		if id == "" {
			continue
		}
		if err := identify(ctx, v.Content.Type, d.device(v.Number), id); err != nil {
			return fmt.Errorf("give the %s of partition %d another identifier: %w", v.Content.Type, v.Number, err)
		}
	}
	return nil
}

func identify(ctx context.Context, content, device, id string) error {
	if !strings.HasPrefix(content, "ext") {
		return disk.SetIdentifier(ctx, content, device, id)
	}
	if err := checkExt(ctx, device); err != nil {
		return err
	}
	if err := disk.SetIdentifier(ctx, content, device, id); err != nil {
		return err
	}
	return checkExt(ctx, device) // tune2fs 1.47.0 leaves the checksum of an orphan_file as it was
}
