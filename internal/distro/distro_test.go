package distro

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ID=azurelinux\nVERSION_ID=\"3.0\"\n":                    "Azure Linux 3.0",
		"ID=mariner\nVERSION_ID='2.0'":                           "Mariner 2.0",
		"ID=debian\nVERSION_ID=\"12\"":                           "Debian 12",
		"ID=debian\nVERSION_ID=\"13\"":                           "Debian 13",
		"ID=debian\nVERSION_ID=11":                               "Debian 11",
		"ID=debian\nPRETTY_NAME=\"Debian forky/sid\"":            "Debian sid",
		"ID=debian\nVERSION_ID=14\nPRETTY_NAME=\"Debian 14\"":    "Debian 14",
		"ID=ubuntu\nVERSION_ID=24.04":                            "Ubuntu 22.04 and 24.04",
		"ID=fedora\nVERSION_ID=42":                               "Fedora",
		"ID=arch\nPRETTY_NAME=\"Arch Linux\"":                    "Arch Linux",
		"ID=azurelinux\nVERSION_ID=\"4.0\"\nPRETTY_NAME=\"A 4\"": "A 4",
	} {
		if got := Match(ParseOSRelease(text)); got.Name != want {
			t.Errorf("%q: got %q, want %q", text, got.Name, want)
		}
	}
	if !Match(map[string]string{"ID": "arch"}).Unknown {
		t.Error("an unknown distribution is not marked as such")
	}
}

func FuzzParseOSRelease(f *testing.F) {
	f.Add("NAME=\"Debian GNU/Linux\"\n# comment\nID=debian\nX='a\\b'\nY=\"a\\\"b\\$\"\n=\n")
	f.Fuzz(func(t *testing.T, text string) {
		for k := range ParseOSRelease(text) {
			if k == "" {
				t.Error("an empty key")
			}
		}
	})
}

func TestParseOSRelease(t *testing.T) {
	t.Parallel()
	got := ParseOSRelease("# c\nNAME=\"A \\\"B\\\" \\$x\"\nID='it\\s'\nV=1.0\n\nbad line\n")
	want := map[string]string{"NAME": `A "B" $x`, "ID": `it\s`, "V": "1.0"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
