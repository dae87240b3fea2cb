//go:build root

package hostile

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestScriptsOnThisHost tries what cannot harm the machine.
func TestScriptsOnThisHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := fit(anywhere, newKernel, hostOnly)
	lay(t, dir, dir, list)
	out, err := exec.Command("sh", "-c", drive(dir, "-m -p -i -n -f --mount-proc")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	judge(t, string(out), list)
	run, _ := os.ReadFile(dir + "/run.log")
	if named := string(run); !strings.Contains(named, "ended processes that the step left running") || !strings.Contains(named, "sleep") {
		t.Errorf("processes left running were not named:\n%s", run)
	}
	if t.Failed() {
		log, _ := os.ReadFile(dir + "/log")
		tried, _ := os.ReadFile(dir + "/tried")
		t.Logf("%s\n%s\n%s", out, log, tried)
	}
}
