package app

import (
	"strings"
	"testing"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/job"
)

// TestBuildTime: what SOURCE_DATE_EPOCH says counts, or is refused.
func TestBuildTime(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "0": true, "1700000000": true, "4354819199": true,
		"yesterday": false, "-1": false, "1.5": false, "0x10": false, " 5": false, "4354819200": false, "99999999999999999999": false,
	} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if err := checkBuildTime(); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDryRunListsOutputs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := printOutputs(&b, []*job.Output{
		{Format: diskformat.Format{Name: "vhdx"}, Path: "/out/a.vhdx"}, {Split: "raw", Partition: 1, Path: "/out/a_1.raw"}, {Split: "raw", Partition: 2, Path: "/out/a_2.raw"},
	})
	const want = "to be written: /out/a.vhdx (vhdx)\nto be written: /out/a_1.raw (raw, partition 1)\nto be written: /out/a_2.raw (raw, partition 2)\n"
	if b.String() != want || err != nil {
		t.Errorf("%q, %v", b.String(), err)
	}
}
