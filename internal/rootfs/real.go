package rootfs

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

// Real is the path of a file without the links of the image that lead there.
func (r *Root) Real(name string) (string, error) {
	f, err := r.OpenPath(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	root, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.dir.Fd()))
	if err != nil {
		return "", err
	}
	inside, ok := strings.CutPrefix(at, strings.TrimSuffix(root, "/"))
	if !ok {
		return "", fmt.Errorf("%s is not below the image's root", name)
	}
	return cmp.Or(inside, "/"), nil
}
