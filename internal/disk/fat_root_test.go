//go:build root

package disk

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// fatFiles is what the test's filesystem holds at first.
var fatFiles = map[string]string{
	"EFI/boot/bootx64.efi":         "loader",
	"EFI/debian/grub.cfg":          "search",
	"EFI/debian/deep/er/still/x":   "x",
	"old/a.txt":                    "a",
	"old/b/c.txt":                  "c",
	"a+b,c;d=e[f].txt":             "odd",
	"käse 日本.txt":                  "utf-8",
	".hidden name/.file":           "dots",
	"IO.SYS":                       "system",
	"empty":                        "",
	"UPPER.TXT":                    "upper",
	"a rather long file name.conf": "long",
}

// layouts are the kinds of FAT that firmware reads, as options of mkfs.vfat, and sizes.
var layouts = map[string]struct {
	options string
	size    int64
}{
	"12":      {"-F 12", 8 * mib},
	"16":      {"-F 16", 64 * mib},
	"16 4096": {"-F 16 -S 4096", 64 * mib},
	"32":      {"-F 32 -s 1", 100 * mib},
	"32 4096": {"-F 32 -S 4096 -s 1", 320 * mib},
}

// fatDisk makes a FAT filesystem that holds fatFiles and attributes.
func fatDisk(t testing.TB, options string, size int64) string {
	t.Helper()
	file := blank(t, size)
	run(t, "sh", "-ec", "mkfs.vfat "+options+" "+file+" >&2")
	src := t.TempDir()
	write(t, src, fatFiles)
	entries, err := os.ReadDir(src)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-i", file, "-s", "-m", "-Q"}
	for _, e := range entries {
		args = append(args, filepath.Join(src, e.Name()))
	}
	run(t, "mcopy", append(args, "::/")...)
	run(t, "mattrib", "-i", file, "+r", "+h", "+s", "::/IO.SYS")
	run(t, "mattrib", "-i", file, "+h", "::/old/a.txt")
	return file
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree reads all files below a folder; names of folders end with a slash.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// withFolders adds the folders of the files, as tree lists them.
func withFolders(files map[string]string) map[string]string {
	all := maps.Clone(files)
	for name := range files {
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			all[d+"/"] = ""
		}
	}
	return all
}

func openFAT(t testing.TB, device string) (*FAT, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "efi")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFAT(t.Context(), device, dir)
	if err != nil {
		t.Fatal(err)
	}
	return f, dir
}

// content opens the filesystem anew, reads all of it, and checks that fsck finds nothing.
func content(t testing.TB, device string) map[string]string {
	t.Helper()
	run(t, "fsck.vfat", "-n", device)
	f, dir := openFAT(t, device)
	found := tree(t, dir)
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return found
}

func TestFATUnchanged(t *testing.T) {
	t.Parallel()
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := fatDisk(t, l.options, l.size)
			device := attach(t, file, 512).Node()
			before := sha256.Sum256(readFile(t, file))
			if diff := cmp.Diff(withFolders(fatFiles), content(t, device)); diff != "" {
				t.Error(diff)
			}
			if sha256.Sum256(readFile(t, file)) != before {
				t.Error("looking at the filesystem changed it")
			}
		})
	}
}

func TestFATChanges(t *testing.T) {
	t.Parallel()
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := fatDisk(t, l.options, l.size)
			device := attach(t, file, 512).Node()
			f, dir := openFAT(t, device)
			written := map[string]string{
				"EFI/debian/grub.cfg": "a longer search than before", "IO.SYS": "S", "EFI/new/sub folder/n[1].txt": "new",
				"käse 日本.txt": "changed", "a+b,c;d=e[f].txt": "", "big": strings.Repeat("0123456789abcdef", mib/16), "empty": "no more",
				"old[1]/x": "brackets in a folder", ".hidden name/new": "below a dot",
			}
			write(t, dir, written)
			if err := os.RemoveAll(dir + "/old"); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(dir + "/.hidden name/.file"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+"/EFI/debian/deep", dir+"/EFI/moved"); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := withFolders(fatFiles)
			for _, gone := range []string{"old/", "old/a.txt", "old/b/", "old/b/c.txt", ".hidden name/.file", "EFI/debian/deep/", "EFI/debian/deep/er/", "EFI/debian/deep/er/still/", "EFI/debian/deep/er/still/x"} {
				delete(want, gone)
			}
			written["EFI/moved/er/still/x"] = "x"
			maps.Copy(want, withFolders(written))
			if diff := cmp.Diff(want, content(t, device)); diff != "" {
				t.Error(diff)
			}
			if got := run(t, "mattrib", "-i", device, "-X", "::/IO.SYS"); !strings.Contains(got, "SHR") {
				t.Errorf("attributes were lost: %s", got)
			}
		})
	}
}

// TestFATFoldsCase writes as a program would that takes vfat for granted.
func TestFATFoldsCase(t *testing.T) {
	t.Parallel()
	file := fatDisk(t, "-F 16", 64*mib)
	device := attach(t, file, 512).Node()
	f, dir := openFAT(t, device)
	write(t, dir, map[string]string{"EFI/BOOT/BOOTX64.EFI": "new loader", "EFI/BOOT/extra": "1", "efi/Debian/new.cfg": "2"})
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	folded := map[string]string{}
	for name, data := range content(t, device) {
		folded[strings.ToLower(name)] = data
	}
	want := map[string]string{}
	for name, data := range withFolders(fatFiles) {
		want[strings.ToLower(name)] = data
	}
	maps.Copy(want, map[string]string{"efi/boot/bootx64.efi": "new loader", "efi/boot/extra": "1", "efi/debian/new.cfg": "2"})
	if diff := cmp.Diff(want, folded); diff != "" {
		t.Error(diff)
	}
}

func TestFATRefusals(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(dir string) error{
		`/EFI/link is neither a file nor a folder`: func(dir string) error { return os.Symlink("x", dir+"/EFI/link") },
		`/pipe is neither`:                         func(dir string) error { return unix.Mkfifo(dir+"/pipe", 0o600) },
		`"/what?" is no name`:                      func(dir string) error { return os.WriteFile(dir+"/what?", nil, 0o600) },
		`"/face 😀" is no name`:                     func(dir string) error { return os.Mkdir(dir+"/face 😀", 0o700) },
		`/New and /new differ only`:                func(dir string) error { return writeBoth(dir+"/New", dir+"/new") },
	} {
		file := fatDisk(t, "-F 16", 64*mib)
		device := attach(t, file, 512).Node()
		f, dir := openFAT(t, device)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if diff := cmp.Diff(withFolders(fatFiles), content(t, device)); diff != "" {
			t.Error(diff)
		}
	}
}

func writeBoth(names ...string) error {
	for _, n := range names {
		if err := os.WriteFile(n, []byte(n), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func TestFATFull(t *testing.T) {
	t.Parallel()
	file := fatDisk(t, "-F 12", 8*mib)
	device := attach(t, file, 512).Node()
	f, dir := openFAT(t, device)
	if err := os.WriteFile(dir+"/much", make([]byte, 9*mib), 0o600); err == nil {
		t.Error("a staged copy takes more than the filesystem's size")
	}
	if err := os.WriteFile(dir+"/much", make([]byte, 8*mib-64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "Disk full") {
		t.Errorf("got %v", err)
	}
}

func TestFATDamaged(t *testing.T) {
	t.Parallel()
	file := blank(t, 8*mib)
	device := attach(t, file, 512).Node()
	if _, err := OpenFAT(t.Context(), device, t.TempDir()); err == nil || !strings.Contains(err.Error(), "the FAT filesystem on "+device+" is damaged") {
		t.Errorf("got %v", err)
	}
}

func TestFATManyFiles(t *testing.T) {
	t.Parallel()
	file := fatDisk(t, "-F 32 -s 1", 100*mib)
	device := attach(t, file, 512).Node()
	f, dir := openFAT(t, device)
	many := map[string]string{}
	for i := range 600 {
		many[fmt.Sprintf("loader/entries/a long name %d.conf", i)] = fmt.Sprint(i)
	}
	write(t, dir, many)
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, dir = openFAT(t, device)
	for i, name := range slices.Sorted(maps.Keys(many)) {
		if i%3 > 0 {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			delete(many, name)
		}
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	maps.Copy(many, fatFiles)
	if diff := cmp.Diff(withFolders(many), content(t, device)); diff != "" {
		t.Error(diff)
	}
}

func TestFATUncleanShutdown(t *testing.T) {
	t.Parallel()
	file := fatDisk(t, "-F 32 -s 1", 100*mib)
	d := readFile(t, file)
	d[65] |= 1 // BS_Reserved1 of FAT32: not unmounted
	if err := os.WriteFile(file, d, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := hostcmd.Unconfined("a test", "fsck.vfat", "-n", file).Run(t.Context()); err == nil {
		t.Fatal("the mark of an unclean shutdown is not seen")
	}
	device := attach(t, file, 512).Node()
	f, _ := openFAT(t, device)
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(withFolders(fatFiles), content(t, device)); diff != "" {
		t.Error(diff)
	}
}
