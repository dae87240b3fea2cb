// Package machine is what a running step may touch: the image's files, its programs, a scratch
// folder, and the facts found about the image.
package machine

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// Machine is an opened image, ready to be changed: a session on a disk, which alone opens and closes it. Only its own
// methods give its fields other values.
type Machine struct {
	Root    *rootfs.Root           // the image's files
	Facts   *Facts                 // what was found about the image; never written after it is made
	Scratch func() (string, error) // makes, once, a folder of the worker for large temporary files, gone after the run
	Cache   string                 // folder shared between runs for downloads; empty when there is none
	Image   *sandbox.Image
	Log     *slog.Logger

	// Initramfs is what was found in the initramfs images of /boot when they were last read, by path. An image
	// that has another size or time since is another one.
	Initramfs map[string]Initramfs

	Disk *os.File // the raw disk

	options Options
	host    host
	own     owned

	left []string // processes that programs left running
}

// Output is Run that returns standard output.
func (m *Machine) Output(ctx context.Context, c *hostcmd.Cmd) (string, error) {
	var b strings.Builder
	d := *c
	d.Stdout = &b
	err := m.Run(ctx, &d)
	return b.String(), err
}

// Leftovers names, once, the processes that programs of the image left running. They ended with the program.
func (m *Machine) Leftovers() []string {
	names := m.left
	m.left = nil
	return names
}

// foreign tells whether no program of the image runs on this host.
func (m *Machine) foreign() bool { return m.Facts != nil && m.Facts.Foreign }

// Has tells whether the image has the program in its usual folders, and it can run.
func (m *Machine) Has(program string) bool {
	return !m.foreign() && FindProgram(m.Root, program) != ""
}

// FindProgram is the path of a program in the usual folders of an image; empty where it has none that can run.
func FindProgram(root *rootfs.Root, program string) string {
	for _, d := range []string{"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"} {
		if fi, err := root.Stat(d + program); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return d + program
		}
	}
	return ""
}

// WithBind shows src, a folder or file of the worker, at path in the image while f runs. A path the
// image lacks is made for that time and removed afterwards.
func (m *Machine) WithBind(src, path string, readOnly bool, f func() error) error {
	return m.withMount(src, path, func() error { return m.Image.Bind(src, path, readOnly) }, f)
}

// WithFiles shows the files in a folder of the worker at path in the image while f runs, as sandbox.BindFiles does.
func (m *Machine) WithFiles(dir string, named []string, path string, f func() error) error {
	return m.withMount(dir, path, func() error { return m.Image.BindFiles(dir, named, path) }, f)
}

// WithSecrets shows secrets, by their names, to programs of the image while f runs: each is a file of /run/secrets, in
// memory, that root alone can read.
func (m *Machine) WithSecrets(secrets map[string]string, f func() error) (err error) {
	if len(secrets) == 0 {
		return f()
	}
	if err := m.Image.ShowSecrets(secrets); err != nil {
		return err
	}
	defer func() { err = firstOf(err, m.Image.HideSecrets()) }()
	return f()
}

func (m *Machine) withMount(src, path string, mount, f func() error) (err error) {
	made, err := m.makeMountPoint(src, path)
	if err != nil {
		return err
	}
	if made {
		defer func() { err = firstOf(err, m.Root.Remove(path)) }()
	}
	if err := mount(); err != nil {
		return err
	}
	defer func() { err = firstOf(err, m.Image.Unbind(path)) }()
	return f()
}

// Bare shows the filesystem mounted at mountPoint, without what is mounted on it, at path in the image
// while f runs.
func (m *Machine) Bare(mountPoint, path string, f func() error) error {
	p, err := m.Root.OpenPath(mountPoint)
	if err != nil {
		return err
	}
	defer p.Close()
	return m.WithBind(rootfs.Handle(p), path, false, f)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (m *Machine) makeMountPoint(src, path string) (made bool, err error) {
	if m.Root.Exists(path) {
		return false, nil
	}
	fi, err := os.Stat(src)
	if err != nil {
		return false, err
	}
	if fi.IsDir() {
		return true, m.Root.MkdirAll(path, 0o755)
	}
	return true, m.Root.WriteFile(path, nil, 0o644)
}

// Space is the size of the filesystem that holds a path of the image and what root can still write
// there, in bytes.
func (m *Machine) Space(name string) (size, free uint64, err error) {
	f, err := m.Root.OpenPath(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	return disk.Space(rootfs.Handle(f))
}
