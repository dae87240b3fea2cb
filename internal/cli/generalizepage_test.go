package cli

import (
	"strings"
	"testing"

	"imagecustomizer/internal/identity"
)

// TestSysprepLeadsToRows: what an operation of virt-sysprep is said to be here is a row of the table.
func TestSysprepLeadsToRows(t *testing.T) {
	t.Parallel()
	for _, o := range sysprep {
		for _, name := range strings.Fields(o.rows) {
			if _, ok := identity.Find(name); !ok {
				t.Errorf("%s: there is no row %s", o.operations, name)
			}
		}
		if o.rows == "" && o.otherwise == "" {
			t.Errorf("%s: nothing is said", o.operations)
		}
	}
}
