package disk

import (
	"bytes"
	"os"
	"testing"
)

// TestRepairGPT damages one copy of a table in several ways; repaired, the disk must be as it was.
func TestRepairGPT(t *testing.T) {
	t.Parallel()
	const size = 16 * mib
	small := readFile(t, partitioned(t, size, gptScript))
	big := readFile(t, disk4K(t))
	for name, c := range map[string]struct {
		disk   []byte
		damage func(d []byte)
	}{
		"primary header":      {small, func(d []byte) { d[512+40]++ }},
		"primary signature":   {small, func(d []byte) { clear(d[512:1024]) }},
		"primary entries":     {small, func(d []byte) { d[1024+40]++ }},
		"all of the primary":  {small, func(d []byte) { clear(d[512 : 34*512]) }},
		"backup header":       {small, func(d []byte) { clear(d[len(d)-512:]) }},
		"backup entries":      {small, func(d []byte) { clear(d[len(d)-33*512 : len(d)-512]) }},
		"4096: primary":       {big, func(d []byte) { clear(d[4096:8192]) }},
		"4096: backup header": {big, func(d []byte) { d[len(d)-4096]++ }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := blank(t, int64(len(c.disk)))
			broken := bytes.Clone(c.disk)
			c.damage(broken)
			if bytes.Equal(broken, c.disk) {
				t.Fatal("nothing was damaged")
			}
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(broken, 0); err != nil {
				t.Fatal(err)
			}
			table, err := ReadTable(f, int64(len(broken)))
			if err != nil || !table.Damaged {
				t.Fatalf("damaged: %v, %v", table, err)
			}
			if err := RepairGPT(f, table, int64(len(broken))); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readFile(t, file), c.disk) {
				t.Error("the disk is not as it was before the damage")
			}
		})
	}
}
