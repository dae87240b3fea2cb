package artifact

import (
	"fmt"
	"os"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/efi"
)

// programs are the kinds of artifacts that are programs.
var programs = map[Kind]chain.Kind{UKIs: chain.UKI, Addons: chain.Addon, Shim: chain.Shim, Loader: chain.Loader}

// Check looks whether a file is what it is said to be, for images of that architecture, as uname -m says it.
func Check(file *os.File, f Injection, arch string) error {
	kind, program := programs[f.Type]
	if !program {
		return nil
	}
	p, err := efi.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Source.Text, err)
	}
	if is := chain.KindOf(p, string(f.Destination)); is != kind && f.Type != UKIs { // where older lists have add-ons too
		return fmt.Errorf("%s is no %s but %s", f.Source.Text, kind, is)
	} else if f.Type == UKIs && is != chain.UKI && is != chain.Addon {
		return fmt.Errorf("%s is no unified kernel image and no add-on of one", f.Source.Text)
	}
	if want := efi.Machine(arch); want != 0 && p.Machine != want {
		return fmt.Errorf("%s is a program for another machine than the image's (PE type %#x)", f.Source.Text, p.Machine)
	}
	return nil
}
