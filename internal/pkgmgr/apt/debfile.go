package apt

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"imagecustomizer/internal/pkgmgr"
)

// maxControl bounds what is read of the description of a package, in bytes.
const maxControl = 1 << 20

// readDeb returns a package's description with size and hash, as an index has it, deb(5). The file is of
// the build host; reading it here needs no program of the image, and so no image that is running.
func readDeb(name string) (control string, size int64, sum pkgmgr.Digest, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, sum, err
	}
	defer f.Close()
	if control, err = debControl(bufio.NewReader(f)); err != nil {
		return "", 0, sum, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, sum, err
	}
	h := sha256.New()
	size, err = io.Copy(h, f)
	return control, size, pkgmgr.Digest(h.Sum(nil)), err
}

// debControl finds the member control.tar of an ar(5) archive, and the file control in that.
func debControl(r io.Reader) (string, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return "", errors.New("it is not a Debian package")
	}
	for header := make([]byte, 60); ; {
		if _, err := io.ReadFull(r, header); err != nil {
			return "", fmt.Errorf("it has no control.tar: %w", err)
		}
		name := strings.TrimRight(strings.TrimSpace(string(header[:16])), "/")
		size, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
		if err != nil || size < 0 {
			return "", fmt.Errorf("the header of its member %q is damaged", name)
		}
		suffix, is := strings.CutPrefix(name, "control.tar")
		if is {
			return controlOf(io.LimitReader(r, size), suffix)
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return "", err
		}
	}
}

func controlOf(r io.Reader, suffix string) (string, error) {
	for _, form := range pkgmgr.Compressions {
		if form.Suffix != suffix {
			continue
		}
		plain, err := form.Open(r)
		if err != nil {
			return "", err
		}
		archive := tar.NewReader(plain)
		for {
			h, err := archive.Next()
			if err != nil {
				return "", fmt.Errorf("its control.tar has no file control: %w", err)
			}
			if path.Clean(h.Name) == "control" {
				text, err := io.ReadAll(io.LimitReader(archive, maxControl))
				return string(text), err
			}
		}
	}
	return "", fmt.Errorf("its control.tar is compressed in an unknown way, %q", suffix)
}
