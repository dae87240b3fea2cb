//go:build root || boot

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// identifiers are those of a raw disk, its partitions and what they hold, as sfdisk and blkid say.
func identifiers(t *testing.T, disk string) (ids []string) {
	t.Helper()
	out, err := exec.Command("sfdisk", "--json", disk).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		PartitionTable struct {
			ID         string
			SectorSize int64
			Partitions []struct {
				Start, Size int64
				UUID        string
			}
		}
	}
	if err := json.Unmarshal(out, &dump); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, dump.PartitionTable.ID)
	for _, p := range dump.PartitionTable.Partitions {
		ids = append(ids, p.UUID)
		sector := dump.PartitionTable.SectorSize
		blkid := exec.Command("blkid", "-p", "-o", "value", "-s", "UUID", "-O", fmt.Sprint(p.Start*sector), "-S", fmt.Sprint(p.Size*sector), disk)
		if id, err := blkid.Output(); err == nil && len(id) > 0 { // it fails where there is nothing
			ids = append(ids, strings.TrimSpace(string(id)))
		}
	}
	return ids
}

// resetIdentifiers gives a base image other identifiers, with a script that has the last word: it fails
// the run where any file of the settings, of the boot loader or of an initramfs names an old one.
func resetIdentifiers(t *testing.T, image, out, config string) (was, is []string) {
	t.Helper()
	was = identifiers(t, image)
	script := `
storage: {resetPartitionsUuidsType: reset-all}
os:
  bootloader: {resetType: hard-reset}
` + config + `
scripts:
  finalizeCustomization:
  - content: |
      set -e
      mkdir /tmp/unpacked
      cd /tmp/unpacked
      for i in $(ls /boot/init*); do
        if command -v unmkinitramfs >/dev/null; then unmkinitramfs $i .; else lsinitrd --unpack $i; fi
      done
      test -n "$(find . -name init)"
      ! grep -rilF -e ` + strings.Join(was, " -e ") + ` /etc /boot /tmp/unpacked
`
	customize(t, image, script, out, "raw", "--seed", "identifiers")
	is = identifiers(t, out)
	if len(is) != len(was) {
		t.Fatalf("%q became %q", was, is)
	}
	for i := range was {
		if was[i] == "" || strings.EqualFold(was[i], is[i]) {
			t.Errorf("%s stays", was[i])
		}
	}
	return was, is
}
