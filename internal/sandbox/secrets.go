package sandbox

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// SecretsDir is where programs of the image find secrets.
const SecretsDir = "/run/secrets"

// ShowSecrets shows secrets to programs of the image, each as a file of SecretsDir with its name, in a filesystem in memory
// that is never swapped out where the kernel can do that (Linux 6.4). Root alone can read them.
func (i *Image) ShowSecrets(secrets map[string]string) error {
	// Whatever a program has left there may be a link that leads elsewhere.
	if err := i.root.RemoveAll(SecretsDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := i.root.MkdirAll(SecretsDir, 0o700); err != nil {
		return err
	}
	size := 1 << 20
	for _, text := range secrets {
		size += len(text) + 64<<10 // a page, and what holds it
	}
	options := fmt.Sprintf("mode=700,size=%d", size)
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	err := i.mount(SecretsDir, "tmpfs", flags, options+",noswap")
	if errors.Is(err, unix.EINVAL) {
		err = i.mount(SecretsDir, "tmpfs", flags, options)
	}
	if err != nil {
		return err
	}
	if err := i.fillSecrets(secrets); err != nil {
		return errors.Join(err, i.HideSecrets())
	}
	return nil
}

func (i *Image) fillSecrets(secrets map[string]string) error {
	dir, err := i.root.Sub(SecretsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	for name, text := range secrets {
		if err := dir.WriteFile(name, []byte(text), 0o400); err != nil {
			return err
		}
	}
	return i.remount(SecretsDir, unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
}

// HideSecrets undoes ShowSecrets.
func (i *Image) HideSecrets() error {
	return errors.Join(i.Unbind(SecretsDir), i.root.Remove(SecretsDir))
}
