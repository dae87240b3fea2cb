package feature

import (
	"slices"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
)

// Replaced are files that one part of the config asks for.
func Replaced(at string, files ...string) (list []plan.Replaced) {
	for _, f := range files {
		list = append(list, plan.Replaced{File: f, Path: at})
	}
	return list
}

// Present are those of the files that are there, for a step that changes no others.
func Present(m *machine.Machine, files ...string) []string {
	return slices.DeleteFunc(files, func(f string) bool { return !m.Root.Exists(f) })
}

// Installing says by which packages an image gets what it lacks.
func Installing(m *machine.Machine, n pkgmgr.Need) string {
	if m.Facts.PackageManager == "" {
		return "use an image that has it"
	}
	return "install " + probe.PackageFor(m.Facts, n) + " in the same run"
}
