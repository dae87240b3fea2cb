package boot

import (
	"slices"
)

// forcedRoot is the variable by which Ubuntu's cloud images have grub-mkconfig name the root by its partition, so that
// the kernel finds it without an initramfs. It stands in a file of its own in /etc/default/grub.d.
const forcedRoot = "GRUB_FORCE_PARTUUID"

// forceRoot gives the partition of the root wherever the configuration that grub.cfg is made from forces one by its
// identifier. Where it forces none, nothing is changed.
func forceRoot(files Files, config, partUUID string) error {
	_, mkconfig := mkconfigProgram(files, config)
	d, err := readDefaults(files, mkconfig)
	if err != nil {
		return err
	}
	for _, name := range d.names {
		for _, a := range slices.Backward(d.assignments(name)) { // from the end, so that places stay right
			if text := d.texts[name]; a.Name == forcedRoot && text[a.Start:a.End] != "" {
				d.texts[name] = text[:a.Start] + partUUID + text[a.End:]
			}
		}
	}
	_, err = write(files, d.edits())
	return err
}
