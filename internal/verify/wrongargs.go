package verify

import (
	"context"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/kargs"
)

// WrongArgs says what would be wrong with kernel arguments if every boot entry of the image had them, by argument. Where the
// run may still bring files, only those count that name partitions.
func WrongArgs(ctx context.Context, i Image, args []string, filesComing bool) map[string]string {
	s, wrong := newSystem(ctx, i), map[string]string{}
	entries := s.ownEntries()
	if len(entries) == 0 {
		return nil
	}
	e := entries[0]
	e.Arguments = append(slices.Clone(e.Arguments), boot.ArgumentsAt(args, boot.Origin{})...)
	if !s.rootIsHere(e) {
		return nil
	}
	for n, a := range args {
		key, value := kargs.Name(a), after(a, "=")
		overruled := slices.ContainsFunc(args[n+1:], func(b string) bool { return kargs.Name(b) == key }) && !slices.Contains(severalArgs, key)
		if value == "" || overruled {
			continue
		}
		found := newList("kernel arguments")
		if slices.Contains(deviceArgs, key) {
			s.device(found, e, key, value)
		} else if text := s.partOf(key, value); text != "" || !filesComing || slices.Contains(diskArgs, key) {
			if text = s.wrongArg(e, key, value); text != "" {
				found.at("", 0, "%s: %s", a, text)
			}
		}
		if len(found.items) > 0 {
			wrong[a] = found.items[0].Text
		}
	}
	return wrong
}

// diskArgs are those of absentArgs that are about what the disk holds.
var diskArgs = []string{"rootfstype", "mount.usrfstype", "rootflags", "rd.luks.uuid", "luks.uuid", "rd.luks.name", "luks.name", "rd.lvm.vg", "rd.lvm.lv", "rd.md.uuid"}
