package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/kargs"
)

// sharedName is the variable that the entries of EL 8 and of early Fedora 30s take their arguments from, and that the
// entries of later kernels are made with. It is in GRUB's environment block; what grub.cfg sets holds where the block
// has none.
const sharedName = "kernelopts"

// shares tells whether GRUB puts the shared arguments into this entry.
func (e entry) shares() bool {
	i := e.options()
	if i < 0 {
		return false
	}
	_, value := keyValue(e.lines[i])
	words := strings.Fields(value)
	return slices.Contains(words, "$"+sharedName) || slices.Contains(words, "${"+sharedName+"}")
}

// sharedEdits changes the shared arguments wherever they are set. value is what they are then; "" where nothing
// sets them, so that entries must hold their arguments themselves.
func sharedEdits(files Files, config string, alter func(args string) (string, error)) (edits []edit, value string, err error) {
	edits, value, err = sharedInEnv(files, path.Join(path.Dir(config), "grubenv"), alter)
	if err != nil {
		return nil, "", err
	}
	data, err := menu(files, config)
	if err != nil {
		return nil, "", err
	}
	script, err := grub.Parse(string(data))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", config, err)
	}
	var changes []grub.Edit
	for _, c := range script.Find("set") {
		for _, w := range c.Words[1:] {
			old, ok := strings.CutPrefix(w.Value(), sharedName+"=")
			if !ok || !w.Literal() {
				continue
			}
			text, err := alter(old)
			if err != nil {
				return nil, "", err
			}
			if value == "" {
				value = text
			}
			changes = append(changes, grub.Edit{Start: w.Start, End: w.End, Text: sharedName + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(text) + `"`})
		}
	}
	if len(changes) > 0 {
		edits = append(edits, edit{config, grub.Apply(string(data), changes), 0o600})
	}
	return edits, value, nil
}

func sharedInEnv(files Files, name string, alter func(string) (string, error)) (edits []edit, value string, err error) {
	data, err := menu(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	env, err := grub.ParseEnv(data)
	if err != nil {
		return nil, "", nil // nothing that GRUB would load
	}
	old, ok := env.Get(sharedName)
	if !ok {
		return nil, "", nil
	}
	if value, err = alter(old); err != nil {
		return nil, "", err
	}
	env.Set(sharedName, value)
	block, err := env.Bytes()
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w; it has %d bytes, and the kernel arguments of all entries are in it", name, err, len(data))
	}
	return []edit{{name, string(block), 0o644}}, value, nil
}

// addShared adds the arguments that the shared ones lack.
func addShared(args []string) func(string) (string, error) {
	return func(old string) (string, error) {
		have, err := kargs.Split(old)
		if err != nil {
			return "", fmt.Errorf("%s: %w", sharedName, err)
		}
		more, err := kargs.GRUBEntry.Join(kargs.Cmdline(have).Missing(args))
		if err != nil || more == "" {
			return old, err
		}
		body := strings.TrimRight(old, " ")
		return strings.TrimLeft(body+" "+more, " ") + old[len(body):], nil
	}
}

// inShared is the replacement of shared arguments.
func (r Change) inShared(old string) (string, error) {
	more, err := kargs.GRUBEntry.Join(r.all())
	if err != nil {
		return "", err
	}
	words := r.keep(old)
	if more != "" {
		words = append(words, more)
	}
	return strings.Join(words, " "), nil
}
