package step

import (
	"os"
	"reflect"
	"slices"
	"testing"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/machine"
)

// unplaced lists the sections of a config that no feature carries out and nothing else reads, and those that two do.
func unplaced(root reflect.Type, places []Place, elsewhere map[string]string) (list []string) {
	var visit func(t reflect.Type, path string)
	visit = func(t reflect.Type, path string) {
		for _, f := range config.Fields(t) {
			at, n := path+f.Key, 0
			for _, p := range places {
				if p.What == at {
					n++
				}
			}
			if elsewhere[at] != "" {
				n++
			}
			switch {
			case n == 0 && f.Type.Kind() == reflect.Struct && path == "":
				visit(f.Type, at+".")
			case n != 1:
				list = append(list, at)
			}
		}
	}
	visit(root, "")
	return list
}

func TestEverySectionHasOnePlace(t *testing.T) {
	t.Parallel()
	if list := unplaced(Root, Order(), elsewhere); len(list) > 0 {
		t.Errorf("no feature, or more than one, carries these out: %v; have the type be a Feature, or name in elsewhere what reads it", list)
	}
	for _, p := range Order() {
		if p.Why == "" {
			t.Errorf("%s has no reason to stand where it does: add the tag why to its field", p.What)
		}
	}
}

func TestForgottenSectionIsFound(t *testing.T) {
	t.Parallel()
	type planted struct {
		OS struct {
			Hostname system.Hostname `yaml:"hostname"`
			Colour   string          `yaml:"colour"`
		} `yaml:"os"`
		Input string          `yaml:"input"`
		Paint system.Hostname `yaml:"paint"`
	}
	places := slices.Concat(sections("os", &new(planted).OS), Order())
	if got := unplaced(reflect.TypeFor[planted](), places, elsewhere); !slices.Equal(got, []string{"os.hostname", "os.colour", "paint"}) {
		t.Errorf("found %v", got) // the first has two places
	}
}

// Sections that touch nothing, or of which the history holds nothing, with the reason.
var (
	newFiles     = "its filesystems are new"
	unknownFiles = "what it writes cannot be known"
	notReference = "the history of the reference has no such key"
	touchless    = map[string]string{
		"os.uki":             "lies on the EFI system partition, which is FAT and never sealed",
		"signing.secureBoot": "all but kernels lies on the EFI system partition",
		"storage.disks":      newFiles, "storage.resizeDisk": "it writes no file", "storage.resetPartitionsUuidsType": "it refuses an image with a sealed filesystem",
		"scripts.postCustomization": unknownFiles, "scripts.finalizeCustomization": unknownFiles, "os.imageHistory": "it leaves out what cannot be written",
	}
	recordless = map[string]string{
		"storage.disks": notReference, "storage.resizeDisk": notReference, "storage.resetPartitionsUuidsType": notReference, "storage.verity": notReference,
		"os.imageHistory": "that there is a history says it", "os.bootloader": notReference, "os.selinux": notReference, "os.overlays": notReference,
		"signing.secureBoot": "who has signed a file, the file says",
	}
)

// TestFeaturesAnswer fills a whole config and asks every section: one that is used but says no path that it writes, or
// leaves nothing in the history, must say why above.
func TestFeaturesAnswer(t *testing.T) {
	t.Parallel()
	var c Config
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fill(reflect.ValueOf(&c).Elem(), config.Path{Text: "file", Resolved: file})
	for _, p := range c.order() {
		if _, always := p.Feature.(feature.Always); always {
			continue
		}
		if !p.Used() {
			t.Errorf("%s is not used by a config that has everything", p.What)
		}
		if got := p.Touches(); (len(got) == 0) != (touchless[p.What] != "") {
			t.Errorf("%s touches %v", p.What, got)
		}
		if got, err := p.Record(); err != nil || (got == nil) != (recordless[p.What] != "") {
			t.Errorf("%s records %v: %v", p.What, got, err)
		}
	}
}

// fill gives every field a value: an item of lists and mappings, the last word of an enumeration.
func fill(v reflect.Value, file config.Path) {
	if e, ok := v.Interface().(config.Enum); ok {
		values := e.Values()
		v.SetString(values[len(values)-1])
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), file)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), file)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		item := reflect.New(v.Type().Elem()).Elem()
		fill(item, file)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), item)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[config.Path]() {
			v.Set(reflect.ValueOf(file))
			return
		}
		for f, inner := range v.Fields() {
			if f.Tag.Get("yaml") != "-" {
				fill(inner, file)
			}
		}
	case reflect.String:
		v.SetString("/text")
	case reflect.Int, reflect.Int64, reflect.Uint32:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	case reflect.Bool:
		v.SetBool(true)
	}
}

// TestProblemsHavePlaces: a problem that a section finds without saying where is shown at the section.
func TestProblemsHavePlaces(t *testing.T) {
	t.Parallel()
	asked := map[string]string{}
	c := featuretest.Parse[Config](t, secretConfig+"storage: {resizeDisk: {freeSpace: 1G, mountPoint: /nonesuch}}\n")
	_, problems := Plan(c, &machine.Facts{Distro: &distro.Distro{Name: "X"}, Boot: boot.Scheme{Kind: boot.UKI}}, feature.Inputs{Asked: asked})
	found := map[string]bool{}
	for _, p := range problems {
		found[p.Path] = true
	}
	for _, want := range []string{"os.packages", "storage.resizeDisk"} {
		if !found[want] {
			t.Errorf("no problem at %s: %+v", want, problems)
		}
	}
	if asked["users.change"] != "os.users" || asked["scripts.postCustomization"] != "scripts.postCustomization" {
		t.Errorf("steps were asked for by %v", asked)
	}
}
