package liveos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// Remake writes a medium that this program has made anew, to the file out: with further kernel
// arguments and files. Everything else, the packed root filesystem above all, is copied as it is. dir
// is a folder for temporary files.
func Remake(ctx context.Context, in, out string, s Spec, dir string, now time.Time) error {
	saved, err := readSaved(ctx, in, dir)
	if err != nil {
		return err
	}
	changed := map[string]string{} // path on the medium: file to put there
	if err := addArgs(ctx, in, dir, saved.GrubConfig, s.Args, changed); err != nil {
		return err
	}
	saved.KernelArgs = append(saved.KernelArgs, s.Args...)
	st := stage{dir: filepath.Join(dir, "files"), spec: s}
	if err := writeSaved(st.path(savedConfig), saved); err != nil {
		return err
	}
	changed["/"+savedConfig] = st.path(savedConfig)
	if err := st.additional(); err != nil {
		return err
	}
	for _, f := range s.Files {
		changed[path.Clean("/"+f.Destination)] = st.path(f.Destination)
	}
	args := []string{"-indev", in, "-outdev", "-", "-overwrite", "on"}
	for to, from := range changed {
		args = append(args, "-map", from, to)
	}
	file, err := os.OpenFile(out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(xorriso(ctx, now, append(args, "-boot_image", "any", "replay", "-padding", "0"), file), file.Close())
}

// readSaved reads what a medium says of itself.
func readSaved(ctx context.Context, in, dir string) (saved Saved, err error) {
	file := filepath.Join(dir, "saved")
	if err := extract(ctx, in, "/"+savedConfig, file); err != nil {
		return saved, fmt.Errorf("this ISO image was not made by this program: it has no %s: %w", savedConfig, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return saved, err
	}
	if err := json.Unmarshal(data, &saved); err != nil || saved.GrubConfig == "" {
		return saved, fmt.Errorf("this ISO image was not made by this program: its %s does not say where grub.cfg is", savedConfig)
	}
	return saved, nil
}

// extract copies a file of a medium.
func extract(ctx context.Context, in, name, to string) error {
	return hostcmd.New("xorriso", "-osirrox", "on", "-indev", in, "-extract", name, to).Run(ctx)
}

// addArgs adds kernel arguments to all entries of the medium's menu.
func addArgs(ctx context.Context, in, dir, config string, args []string, changed map[string]string) (err error) {
	if len(args) == 0 {
		return nil
	}
	menu := filepath.Join(dir, "menu")
	file := filepath.Join(menu, config)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := extract(ctx, in, config, file); err != nil {
		return err
	}
	root, err := rootfs.New(menu)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	scheme := boot.Scheme{Kind: boot.Legacy, Config: config}
	if _, err := boot.Edit(root, scheme, args); err != nil {
		return err
	}
	if err := boot.Verify(root, scheme, args); err != nil {
		return err
	}
	changed[config] = file
	return nil
}

// Check looks whether a medium is whole: its menu names only files that are there, and the packed root
// filesystem is as long as it says.
func Check(ctx context.Context, medium, dir string) error {
	saved, err := readSaved(ctx, medium, dir)
	if err != nil {
		return err
	}
	listing, err := list(ctx, medium)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "grub.cfg")
	if err := extract(ctx, medium, saved.GrubConfig, config); err != nil {
		return err
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	script, err := boot.ParseScript(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", saved.GrubConfig, err)
	}
	for _, c := range script.Find("linux", "initrd") {
		name := c.Words[1].Value()
		if !strings.Contains(listing, "'"+name+"'") {
			return fmt.Errorf("%s:%d: the medium has no %s", saved.GrubConfig, c.Line, name)
		}
	}
	if saved.InitramfsType == initramfsType(true) {
		return nil
	}
	return checkRoot(medium, listing)
}

// list lists the files of a medium with their places.
func list(ctx context.Context, medium string) (string, error) {
	return hostcmd.New("xorriso", "-indev", medium, "-find", "/", "-exec", "report_lba").Output(ctx)
}

// findRoot is where the packed root filesystem lies, in bytes.
func findRoot(listing string) (at, size int64, err error) {
	if at, size, err = findFile(listing, liveBootRoot); err == nil {
		return at, size, nil
	}
	return findFile(listing, dracutRoot)
}

// findFile is where a file of a medium lies, in bytes. Xorriso's listing has its first block and its size.
func findFile(listing, name string) (at, size int64, err error) {
	m := regexp.MustCompile(`(?m)^File data lba: +0 , +(\d+) , +\d+ , +(\d+) , '` + regexp.QuoteMeta(name) + `'$`).FindStringSubmatch(listing)
	if m == nil {
		return 0, 0, fmt.Errorf("the medium has no %s", name)
	}
	const block = 2048
	first, _ := strconv.ParseInt(m[1], 10, 64) // matched
	size, _ = strconv.ParseInt(m[2], 10, 64)
	return first * block, size, nil
}

// checkRoot looks whether the packed root filesystem is there as a whole.
func checkRoot(medium, listing string) error {
	at, size, err := findRoot(listing)
	if err != nil {
		return err
	}
	f, err := os.Open(medium)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkPacked(io.NewSectionReader(f, at, size))
}
