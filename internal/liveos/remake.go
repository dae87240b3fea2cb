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
	return (&Maker{Now: now}).xorriso(ctx, append(args, "-boot_image", "any", "replay", "-padding", "0"), out)
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

// rootPlace is the line of xorriso's listing with the packed root filesystem: its first block of 2048
// bytes, and its size.
var rootPlace = regexp.MustCompile(`(?m)^File data lba: +\d+ , +(\d+) , +\d+ , +(\d+) , '(?:` + regexp.QuoteMeta(dracutRoot) + "|" + regexp.QuoteMeta(liveBootRoot) + `)'$`)

// list lists the files of a medium with their places.
func list(ctx context.Context, medium string) (string, error) {
	return hostcmd.New("xorriso", "-indev", medium, "-find", "/", "-exec", "report_lba").Output(ctx)
}

// findRoot is where the packed root filesystem lies, in bytes.
func findRoot(listing string) (at, size int64, err error) {
	m := rootPlace.FindStringSubmatch(listing)
	if m == nil {
		return 0, 0, fmt.Errorf("the medium has no %s", dracutRoot)
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
	need, err := packedSize(io.NewSectionReader(f, at, size))
	if err == nil && need > size {
		err = fmt.Errorf("it has %d bytes of %d", size, need)
	}
	if err != nil {
		return fmt.Errorf("the packed root filesystem of the medium is damaged: %w", err)
	}
	return nil
}
