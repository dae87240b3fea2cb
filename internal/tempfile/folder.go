package tempfile

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Folder is a folder that waits for its name. Folders cannot be without one, so a run that is killed
// leaves it; the next run there removes it.
type Folder struct {
	*os.File
	dir  *os.File
	temp string
}

// CreateFolder makes a folder in an open folder, which must stay open until it is published or
// discarded, and removes what ended runs have left there.
func CreateFolder(dir *os.File) (*Folder, error) {
	RemoveStale(dir)
	name := newName()
	if err := unix.Mkdirat(int(dir.Fd()), name, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(within(dir, name), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // marks it as being in use
	return &Folder{f, dir, name}, nil
}

func within(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// Path is where the folder lies now.
func (f *Folder) Path() string { return within(f.dir, f.temp) }

// Publish gives the folder its name, which none but an empty folder may have.
func (f *Folder) Publish(name string) error {
	if err := unix.Renameat(int(f.dir.Fd()), f.temp, int(f.dir.Fd()), name); err != nil {
		return err
	}
	f.temp = ""
	return nil
}

// Discard closes the folder. One that was not published is removed with everything in it.
func (f *Folder) Discard() {
	if f.temp != "" {
		_ = os.RemoveAll(f.Path())
		f.temp = ""
	}
	_ = f.Close()
}

// removeStaleFolder removes a folder of an ended run, if that is what the name is.
func removeStaleFolder(dir *os.File, name string, ended bool) {
	f, err := os.OpenFile(within(dir, name), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && (ended || time.Since(fi.ModTime()) > old) && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.RemoveAll(within(dir, name))
	}
}
