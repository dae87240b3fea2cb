//go:build boot

package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestBootCommand boots an image until it asks for a user name, and one that has no time to.
func TestBootCommand(t *testing.T) {
	image := base(t, "debian12-efi")
	if status, out := run(t, "boot", "--until-login", "--timeout", "1s", image); status != 1 || !strings.Contains(out, "did not ask for a user name within 1s") {
		t.Errorf("exit %d\n%s", status, out)
	}
	if os.Getenv("FULL") == "" {
		return // other tests boot with the same code
	}
	if status, out := run(t, "boot", "--until-login", image); status != 0 || !strings.Contains(out, " login: ") {
		t.Errorf("exit %d\n%s", status, out)
	}
}
