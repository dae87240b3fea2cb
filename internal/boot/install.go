package boot

import (
	"context"
	"io"
	"io/fs"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// Target is an image that a loader is set up on.
type Target struct {
	Root     Tree
	Programs Programs
	Disk     Disk
}

// Tree is the image's files.
type Tree interface {
	Files
	MkdirAll(name string, mode fs.FileMode) error
	Remove(name string) error
	Exists(name string) bool
}

// Programs are those of the image.
type Programs interface {
	Has(name string) bool
	Run(ctx context.Context, c *hostcmd.Cmd, options ...sandbox.Option) error
}

// Disk is the image's disk.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

// Setup says what a loader is set up for.
type Setup struct {
	GRUB *distro.GRUB
	Arch string // as uname -m says it
	ESP  string // where the EFI system partition is mounted; empty without one

	BootUUID  string // of the filesystem that holds /boot
	BootType  string // of that filesystem
	BootPath  string // of /boot in it, empty for its top
	Root      string // the kernel argument root
	RootPart  string // identifier of the root's partition
	RootFlags []string
	SELinux   []string // kernel arguments of SELinux
	Args      []string // kernel arguments of the user

	BIOS *grub.Area // where GRUB's core image for BIOS goes; nil for none
}

// Run has the image run commands.
func (t Target) Run(ctx context.Context, commands ...Command) error {
	for _, x := range commands {
		c := hostcmd.New(x.Argv[0], x.Argv[1:]...)
		if x.Env != nil {
			c.Env = append(x.Env, hostcmd.DefaultEnv...)
		}
		if err := t.Programs.Run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Apply makes a change, has the image make what is generated from it, and looks whether every normal entry has
// the arguments. Where the image's programs do not run, what they would generate is changed as well.
func (t Target) Apply(ctx context.Context, s Scheme, c Change) error {
	done, err := s.Loader().Change(t.Root, c)
	if err != nil {
		return err
	}
	switch {
	case done.Regenerate != nil && t.Programs == nil:
		_, err = Scheme{Kind: Legacy, Config: s.Config}.Loader().Change(t.Root, Change{Add: c.Add})
	case done.Regenerate != nil:
		err = t.Run(ctx, *done.Regenerate)
	}
	if err != nil {
		return err
	}
	return Verify(t.Root, s, c.Add)
}
