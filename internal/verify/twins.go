package verify

import "imagecustomizer/internal/identity"

// twins warns of what clones of the image would share, though it is to tell machines apart.
func twins(s *system) []Finding {
	var found list
	sys := &identity.System{Root: s.Root}
	for _, m := range s.Mounts {
		if m.Volume.Content.Type == "vfat" {
			sys.ESPs = append(sys.ESPs, m.Path)
		}
	}
	for _, r := range identity.Table {
		if !r.Twin {
			continue
		}
		if files := sys.Find(r); len(files) > 0 {
			found.warn(files[0], 0, "clones of this image would share %s", r.What)
			found.hint("\"os: {generalize: {level: golden}}\" takes it out")
		}
	}
	return found
}
