package files

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostfs"
)

// Flags put files into the image.
func (AdditionalFiles) Flags() []feature.Flag {
	return []feature.Flag{
		{
			Name: "copy-in", Value: "SOURCE:DIRECTORY", Help: "Copy a file, or a directory with all that is in it, into a directory of the image.",
			Says: func(v string) ([]feature.Said, error) {
				source, dir, err := hostAndImage(v, "SOURCE:DIRECTORY, such as site:/srv")
				return feature.Or(err)(sayCopied(source, dir))
			},
		},
		{
			Name: "upload", Value: "FILE:DESTINATION", Help: "Copy a file to a path of the image, or, if that ends in /, into a directory.",
			Says: func(v string) ([]feature.Said, error) {
				source, to, err := hostAndImage(v, "FILE:DESTINATION, such as motd:/etc/motd")
				if strings.HasSuffix(to, "/") {
					to += filepath.Base(source)
				}
				return []feature.Said{{Path: "os.additionalFiles", Value: []any{map[string]any{"source": source, "destination": to}}}}, err
			},
		},
		{
			Name: "write", Value: "PATH=TEXT", Help: "Write a text to a file of the image. virt-customize's PATH:TEXT is taken too.",
			Says: func(v string) ([]feature.Said, error) {
				to, text, err := feature.Pair(v, "=:", "PATH=TEXT, such as /etc/motd=Welcome")
				return []feature.Said{{Path: "os.additionalFiles", Value: []any{map[string]any{"content": text, "destination": to}}}}, err
			},
		},
	}
}

// hostAndImage takes a path of the build host and one of the image apart: that one begins with a slash, so that what is
// before may hold colons.
func hostAndImage(value, form string) (source, to string, err error) {
	if i := strings.LastIndex(value, ":/"); i > 0 {
		return value[:i], value[i+1:], nil
	}
	if i := strings.LastIndex(value, ":"); i > 0 && i < len(value)-1 {
		return "", "", fmt.Errorf("%q is not an absolute path in the image: begin it with \"/\"", value[i+1:])
	}
	return "", "", fmt.Errorf("want %s", form)
}

// sayCopied is a copy of a file or directory of the build host below a directory of the image.
func sayCopied(source, dir string) ([]feature.Said, error) {
	to := path.Join(dir, filepath.Base(filepath.Clean(source)))
	if base := filepath.Base(filepath.Clean(source)); base == "." || base == ".." || base == "/" {
		return nil, fmt.Errorf("%s has no name of its own, which it needs in %s", source, dir)
	}
	if hostfs.IsDir(source) {
		return feature.Say("os.additionalDirs", []any{map[string]any{"source": source, "destination": to}})
	}
	return feature.Say("os.additionalFiles", []any{map[string]any{"source": source, "destination": to}})
}
