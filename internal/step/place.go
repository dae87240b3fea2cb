package step

import (
	"cmp"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/plan"
)

// Place is where a feature stands in a run.
type Place struct {
	What string // its path in the config; in words for what every run does
	feature.Feature
	Why string // it stands there
}

// sections are the fields of a struct that are features, in their order, but for those placed elsewhere. The tag why
// says why one stands where it does.
func sections(path string, section any, elsewhere ...[]Place) (list []Place) {
	v := reflect.ValueOf(section).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		feature, is := v.FieldByIndex(f.Index).Interface().(feature.Feature)
		named := func(p Place) bool { return p.What == path+"."+key }
		if is && !slices.ContainsFunc(slices.Concat(elsewhere...), named) {
			list = append(list, Place{path + "." + key, feature, f.Tag.Get("why")})
		}
	}
	return list
}

// hidden finds what a feature would write where it cannot, on filesystems that are sealed by dm-verity and stay so, and
// where it would not be seen, in directories at which a disk will be mounted that the image only gets where it runs.
// What packages and scripts write besides cannot be known; the kernel refuses it.
func (p Place) hidden(g *feature.Given) (problems []plan.Problem) {
	refuse := func(t feature.Touch, hint, format string, args ...any) {
		at := p.What + t.At
		problems = append(problems, plan.Problem{Step: at, Path: at, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	var sealed []string // whose writing is refused already
	for _, t := range p.Touches() {
		name := path.Clean(t.Path)
		place := name + " lies"
		if t.What != "" {
			place = fmt.Sprintf("%s would lie in %s,", t.What, name)
		}
		if f := g.Facts.FilesystemOf(name); f.Kept && !g.NewDisk && (t.What == "" || !slices.Contains(sealed, f.MountPoint)) {
			sealed = append(sealed, f.MountPoint)
			refuse(t, "seal it anew with \"storage: {reinitializeVerity: all}\"", "%s lies on the filesystem of %s, which is sealed by dm-verity", name, f.MountPoint)
		}
		for _, dir := range g.Facts.Covered {
			if feature.In(dir, name) && !slices.Contains(g.Mounts, dir) {
				refuse(t, cmp.Or(t.Instead, "put it on the image's own disk, and have a service copy it at boot"),
					"%s where /etc/fstab of the image mounts a disk that it gets where it runs", place)
			}
		}
	}
	return problems
}
