package verify

import "imagecustomizer/internal/identity"

// Identity is the image as one that may hold what tells machines apart.
func Identity(i Image) *identity.System {
	sys := &identity.System{Root: i.Root}
	for _, m := range i.Mounts {
		if m.Volume.Content.Type == "vfat" {
			sys.ESPs = append(sys.ESPs, m.Path)
		}
	}
	return sys
}

// twins warns of what clones of the image would share, though it is to tell machines apart.
func twins(s *system, found *list) {
	sys := Identity(s.Image)
	sys.Spend = func(bytes int) bool { return !s.more(lookup + bytes>>3) }
	for _, r := range identity.Table {
		if !r.Twin {
			continue
		}
		if files := sys.Find(r); len(files) > 0 {
			found.warn(files[0], 0, "clones of this image would share %s", r.What)
			found.hint("\"os: {generalize: {level: golden}}\" takes it out; \"imagecustomizer inspect --identity\" lists all")
		}
	}
}
