package step

import "imagecustomizer/internal/feature"

// Flags lists the flags of all features, in the order of a run.
func Flags() (list []feature.Flag) {
	for _, p := range Order() {
		if f, is := p.Feature.(feature.Flagged); is {
			list = append(list, f.Flags()...)
		}
	}
	return list
}
