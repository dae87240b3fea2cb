package signing

import (
	"crypto/x509"
	"embed"
	"fmt"
)

// microsoftFiles are certificates of Microsoft's; microsoft/README.md says where they come from.
//
//go:embed microsoft/*.der
var microsoftFiles embed.FS

// Names of Microsoft's certificates.
const (
	MicrosoftUEFI2011    = "uefi-ca-2011" // for what others make: shim, firmware of cards
	MicrosoftUEFI2023    = "uefi-ca-2023"
	MicrosoftKEK2011     = "kek-2011" // for changes of the database itself
	MicrosoftWindows2011 = "windows-2011"
)

// Microsoft is a certificate of Microsoft's, by its name.
func Microsoft(name string) (*x509.Certificate, error) {
	der, err := microsoftFiles.ReadFile("microsoft/" + name + ".der")
	if err != nil {
		return nil, fmt.Errorf("there is no certificate of Microsoft's called %q", name)
	}
	return x509.ParseCertificate(der)
}

// MicrosoftBootCAs are those whose signatures firmware starts shim by.
func MicrosoftBootCAs() (list []*x509.Certificate) {
	for _, name := range []string{MicrosoftUEFI2011, MicrosoftUEFI2023} {
		c, err := Microsoft(name)
		if err != nil {
			panic(err) // they are part of this program
		}
		list = append(list, c)
	}
	return list
}
