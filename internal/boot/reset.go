package boot

import (
	"path"
	"slices"
	"strings"
)

// ResetEntries gives every boot loader entry these arguments and no other, and has it name kernel and
// initramfs below prefix, where the boot loader finds /boot. Entries for rescue are reset too.
func ResetEntries(files Files, s Scheme, args []string, prefix string) error {
	options, err := entryCarrier(s.grub()).Join(args)
	if err != nil {
		return err
	}
	for _, name := range list(files, s.Entries, ".conf") {
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		e := parseEntry(name, string(text))
		if err := files.WriteFile(name, []byte(e.reset(options, prefix).text()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (e entry) reset(options, prefix string) entry {
	lines := slices.Clone(e.lines)
	for _, key := range []string{"linux", "initrd"} {
		for _, i := range e.find(key) {
			_, value := keyValue(lines[i])
			words := strings.Fields(value)
			for j, w := range words {
				if strings.HasPrefix(w, "/") {
					words[j] = prefix + "/" + path.Base(w)
				}
			}
			lines[i] = key + " " + strings.Join(words, " ") + "\n"
		}
	}
	for _, i := range slices.Backward(e.find("options")) {
		lines = slices.Delete(lines, i, i+1)
	}
	return parseEntry(e.file, line(strings.Join(lines, ""))+"options "+options+"\n")
}
