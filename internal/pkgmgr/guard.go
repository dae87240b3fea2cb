package pkgmgr

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// guard keeps what package scriptlets make of their surroundings out of the image: an identity that
// every copy of the image would share, and logs of the build.
type guard struct {
	root      *rootfs.Root
	keys      map[string]bool // ssh host keys that were there
	machineID []byte
	hadID     bool
	hadSeed   bool
	logs      map[string]int64 // size of each log; absent ones are not in it
	m         *machine.Machine
	db        Database
}

const (
	sshDir    = "/etc/ssh"
	machineID = "/etc/machine-id"
	seedFile  = "/var/lib/systemd/random-seed"
)

// logDirs are where package managers log.
var logDirs = []string{"/var/log", "/var/log/apt"}

// logPrefixes begin the names of their logs.
var logPrefixes = []string{"dpkg.log", "alternatives.log", "term.log", "history.log", "eipp.log", "dnf", "hawkey.log", "tdnf"}

func newGuard(m *machine.Machine, db Database) (*guard, error) {
	g := &guard{root: m.Root, m: m, db: db, keys: map[string]bool{}, logs: map[string]int64{}}
	for _, k := range g.hostKeys() {
		g.keys[k] = true
	}
	id, err := m.Root.ReadFile(machineID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	g.machineID, g.hadID, g.hadSeed = id, err == nil, m.Root.Exists(seedFile)
	for _, l := range g.logFiles() {
		if fi, err := m.Root.Lstat(l); err == nil {
			g.logs[l] = fi.Size()
		}
	}
	return g, nil
}

// owned tells whether a package brought the file itself, which then stays.
func (g *guard) owned(ctx context.Context, path string) bool {
	owner, err := g.db.Owner(ctx, g.m, path)
	return err == nil && owner != ""
}

func (g *guard) hostKeys() (keys []string) {
	entries, _ := g.root.ReadDir(sshDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "ssh_host_") {
			keys = append(keys, path.Join(sshDir, e.Name()))
		}
	}
	return keys
}

func (g *guard) logFiles() (files []string) {
	for _, dir := range logDirs {
		entries, _ := g.root.ReadDir(dir)
		for _, e := range entries {
			for _, p := range logPrefixes {
				if strings.HasPrefix(e.Name(), p) && e.Type().IsRegular() {
					files = append(files, path.Join(dir, e.Name()))
					break
				}
			}
		}
	}
	return files
}

// restore undoes what the guard is for.
func (g *guard) restore(ctx context.Context) error {
	errs := []error{g.restoreID(ctx), g.restoreLogs(ctx), g.removeKeys(ctx)}
	if !g.hadSeed {
		errs = append(errs, g.root.Remove(seedFile))
	}
	return errors.Join(errs...)
}

func (g *guard) restoreID(ctx context.Context) error {
	now, err := g.root.ReadFile(machineID)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !g.hadID, err == nil && g.hadID && string(now) == string(g.machineID):
		return nil
	case g.owned(ctx, machineID):
		return nil
	case !g.hadID:
		return g.root.Remove(machineID)
	}
	return g.root.WriteFile(machineID, g.machineID, 0o444)
}

// restoreLogs cuts logs back to their old size: package managers only append.
func (g *guard) restoreLogs(ctx context.Context) error {
	var errs []error
	for _, l := range g.logFiles() {
		size, was := g.logs[l]
		if !was && g.owned(ctx, l) {
			continue
		}
		if !was {
			errs = append(errs, g.root.Remove(l))
			continue
		}
		errs = append(errs, g.cut(l, size))
	}
	return errors.Join(errs...)
}

func (g *guard) cut(log string, size int64) error {
	f, err := g.root.Open(log, unix.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && fi.Size() > size {
		err = f.Truncate(size)
	}
	return err
}

// removeKeys removes ssh host keys made by the run and sees that the system makes its own.
func (g *guard) removeKeys(ctx context.Context) error {
	var errs []error
	removed := false
	for _, k := range g.hostKeys() {
		if !g.keys[k] && !g.owned(ctx, k) {
			removed = true
			errs = append(errs, g.root.Remove(k))
		}
	}
	if removed && !g.makesKeysAtBoot() {
		errs = append(errs, g.addKeyUnit())
	}
	return errors.Join(errs...)
}

// makesKeysAtBoot tells whether a unit of the image runs ssh-keygen.
func (g *guard) makesKeysAtBoot() bool {
	for _, dir := range []string{"/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system"} {
		for _, unit := range []string{"sshd-keygen.service", "sshd-keygen@.service", "ssh-keygen.service", keyUnit} {
			if g.root.Exists(dir + "/" + unit) {
				return true
			}
		}
	}
	return false
}

const keyUnit = "imagecustomizer-ssh-host-keys.service"

const keyUnitText = `[Unit]
Description=Make the ssh host keys of this machine
Before=ssh.service ssh.socket sshd.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
`

func (g *guard) addKeyUnit() error {
	const wants = "/etc/systemd/system/multi-user.target.wants"
	if err := g.root.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	if err := g.root.WriteFile("/etc/systemd/system/"+keyUnit, []byte(keyUnitText), 0o644); err != nil {
		return err
	}
	return g.root.Symlink("/etc/systemd/system/"+keyUnit, wants+"/"+keyUnit)
}
