//go:build root

package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEditKeepsTheOrder: what flags say is done in the order in which they are given, however a run is ordered.
func TestEditKeepsTheOrder(t *testing.T) {
	repo := deb(t, t.TempDir(), "in-between", "1.0", "cp /etc/before /etc/seen")
	file := "in-between_1.0.deb"
	data, err := os.ReadFile(filepath.Join(repo, file))
	if err != nil {
		t.Fatal(err)
	}
	index := fmt.Sprintf("Package: in-between\nVersion: 1.0\nArchitecture: all\nFilename: ./%s\nSize: %d\nSHA256: %x\n", file, len(data), sha256.Sum256(data))
	if err := os.WriteFile(filepath.Join(repo, "Packages"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.qcow2")
	status, text := run(t, "edit", "-a", base(t, "debian12-efi"), "--output", out,
		"--run-command", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; echo early > /etc/before; useradd -m bob",
		"--copy-in", repo+":/srv", "--write", "/etc/apt/sources.list.d/l.list=deb [trusted=yes] file:/srv/"+filepath.Base(repo)+" ./\n",
		"--install", "in-between", "--run-command", "grep -q early /etc/seen; dpkg -s in-between > /etc/status",
		"--write", "/etc/before=late", "--password", "bob:locked", "--run-command", "grep -q late /etc/before",
		"--uninstall", "in-between", "--run-command", "! dpkg -s in-between 2> /dev/null && grep -q ^bob:[*] /etc/shadow && grep -q installed /etc/status",
	)
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	for _, in := range []string{"run-command exit 3", "stands in"} { // a failure names the flag
		status, text := run(t, "edit", "-a", base(t, "debian12-efi"), "--output", out, "--run-command", "exit 3", "--write", "/etc/x=y")
		if status == 0 || strings.Contains(text, in) != (in != "stands in") {
			t.Errorf("exit %d\n%s", status, text)
		}
	}
}
