//go:build root

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSameSeedSameBytes carries out the demo's config, without its package, twice, and compares every disk format.
func TestSameSeedSameBytes(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1750000000")
	text, err := os.ReadFile("../demo/config/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "  packages:\n    install:\n    - jq\n", "", 1)
	if config == string(text) {
		t.Fatal("the demo installs no package any more")
	}
	config += "  - content: for i in 1 2 3; do head -c 200000 /dev/zero | tr '\\0' $i >/root/$i; done; rm /root/2; mkdir -p /srv/a/b; sed -i s/a/b/ /etc/issue; ldconfig\n"
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.CopyFS(dir, os.DirFS("../demo/config")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/demo.yaml", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	image, formats := base(t, "debian12-efi"), []string{"raw", "vhd", "vhdx"}
	if os.Getenv("FULL") != "" {
		formats = append(formats, "qcow2", "vhd-fixed", "cosi")
	}
	once := func(seed string, formats ...string) string {
		out := t.TempDir()
		args := []string{"--build-dir", t.TempDir(), "--image-file", image, "--config-file", dir + "/demo.yaml", "--seed", seed}
		for _, f := range formats {
			args = append(args, "--output", f+"="+out+"/image."+f)
		}
		if status, text := run(t, args...); status != 0 {
			t.Fatalf("exit %d\n%s", status, text)
		}
		return out
	}
	first := once("same", formats...)
	time.Sleep(1100 * time.Millisecond) // the second differs, in which times are counted
	second := once("same", formats...)
	if same, _ := sameFiles(t, first+"/image.raw", second+"/image.raw"); !same {
		// The kernel frees blocks a moment after it says so (see decision 5): on a busy machine one run of many differs.
		third := once("same", formats...)
		if same, _ := sameFiles(t, first+"/image.raw", third+"/image.raw"); same {
			second = third
		} else {
			first, second = second, third
		}
	}
	for _, f := range formats {
		if same, at := sameFiles(t, first+"/image."+f, second+"/image."+f); !same {
			t.Errorf("the %s outputs differ from byte %d on", f, at)
		}
	}
	if same, _ := sameFiles(t, first+"/image.vhdx", once("other", "vhdx")+"/image.vhdx"); same {
		t.Error("another seed gives the same VHDX")
	}
}

// sameFiles compares two files, and tells where they differ first.
func sameFiles(t *testing.T, a, b string) (same bool, at int64) {
	t.Helper()
	fa, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		na, _ := fa.Read(bufA)
		nb, _ := fb.Read(bufB)
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			for i := range min(na, nb) {
				if bufA[i] != bufB[i] {
					return false, at + int64(i)
				}
			}
			return false, at + int64(min(na, nb))
		}
		if at += int64(na); na == 0 {
			return true, at
		}
	}
}
