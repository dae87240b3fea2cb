//go:build root

package hostile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/tinydisk"
)

// onMedium lists the files and folders of an ISO image. Most of them are read at their places in the image, where
// no trace shows a name; so each is attacked.
func onMedium(t *testing.T, medium string) (list []string) {
	t.Helper()
	for line := range strings.Lines(tinydisk.Run(t, "", "xorriso", "-indev", medium, "-find", "/")) {
		if name := strings.Trim(strings.TrimSpace(line), "'"); strings.HasPrefix(name, "/") && name != "/" {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		t.Fatal("the medium has no files")
	}
	return list
}

// plantOnMedium makes a medium with a thing in the place of a file or folder.
func plantOnMedium(t *testing.T, medium, out, name string, what thing, h host) {
	t.Helper()
	dir := t.TempDir() + mountedAt
	write(t, dir+"/etc/passwd", "root:x:0:0::/:/bin/sh\n")
	s := spot{name: dir + "/thing", aside: dir + "/old", host: h}
	tinydisk.Run(t, "", "xorriso", "-osirrox", "on", "-indev", medium, "-extract", name, s.aside)
	fi, err := os.Stat(s.aside)
	if err == nil {
		s.dir = fi.IsDir()
		err = what.plant(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	tinydisk.Run(t, "", "xorriso", "-indev", medium, "-outdev", out, "-boot_image", "any", "replay", "-rm_r", name, "--", "-map", s.name, name)
}

// copied is a base image of its own for a case, in which what it is about has been planted.
func (g generated) copied(t *testing.T, k kind, impostor string, h host) (image string) {
	t.Helper()
	image = filepath.Join(t.TempDir(), "hostile"+filepath.Ext(k.Base))
	if k.media {
		plantOnMedium(t, k.Base, image, g.at, g.what, h)
		return image
	}
	if text, err := exec.Command("cp", "--sparse=always", "--reflink=auto", k.Base, image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if g.behaviour == "" {
		plant(t, image, g.at, g.what, h)
	} else {
		impersonate(t, image, g.at, impostor, g.behaviour, h)
	}
	return image
}
