package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// covered are the files of the host that the worker does not see, nor any program that it starts.
var covered []string

// coverFiles mounts an empty file over each of these files, below the worker's root that is being made.
func coverFiles(root string, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	empty := filepath.Join(root, Work, "covered")
	if err := os.WriteFile(empty, nil, 0o400); err != nil {
		return err
	}
	for _, p := range paths {
		real, err := filepath.EvalSymlinks(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		covered = append(covered, real)
		if _, err := os.Lstat(root + real); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := unix.Mount(empty, root+real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover %s: %w", real, err)
		}
	}
	return nil
}

// whiteouts makes a folder that, as the upper one of an overlay, takes the covered files below dir away; empty where
// there are none. A mount on a file does not show in an overlay of its folder.
func whiteouts(dir string) (string, error) {
	layer := ""
	for _, c := range covered {
		rel, below := strings.CutPrefix(c, strings.TrimSuffix(dir, "/")+"/")
		if !below {
			continue
		}
		if layer == "" {
			var err error
			if layer, err = os.MkdirTemp(Work, "without-"); err != nil {
				return "", err
			}
			if err := os.Chmod(layer, 0o755); err != nil {
				return "", err
			}
		}
		name := filepath.Join(layer, rel)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		if err := unix.Mknod(name, unix.S_IFCHR, 0); err != nil && !errors.Is(err, unix.EEXIST) {
			return "", fmt.Errorf("cover %s: %w", c, err)
		}
	}
	return layer, nil
}
