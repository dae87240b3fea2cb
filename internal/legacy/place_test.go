package legacy

import (
	"testing"

	"imagecustomizer/internal/config"
)

// TestPlacesAreFoundInBothSchemas names what stands at a path of today's.
func TestPlacesAreFoundInBothSchemas(t *testing.T) {
	t.Parallel()
	const today = `os:
  users:
  - name: a
  - name: b
    secondaryGroups:
    - x
    - y
  packages:
    install:
    - jq
`
	const old = `SystemConfig:
  Users:
  - Name: a
  - Name: b
    SecondaryGroups:
    - x
    - y
  PackagesInstall:
  - jq
  Modules:
    Load:
    - Name: m
`
	for _, c := range []struct {
		path       string
		today, old int // lines
	}{
		{"os.users[1].secondaryGroups[1]", 7, 7}, {"os.users[1].uid", 4, 4}, {"os.packages.install[0]", 10, 9},
		{"os.modules[0]", 1, 10}, {"os.users[0].name", 3, 3}, {"os.nothing.of[3].that", 1, 1}, {"os.users[9]", 2, 2},
	} {
		for text, want := range map[string]int{today: c.today, old: c.old} {
			doc, _ := config.Parse("x.yaml", []byte(text))
			if got := Place(doc, c.path).Line(); got != want {
				t.Errorf("%s is in line %d, want %d of\n%s", c.path, got, want, text)
			}
		}
	}
}
