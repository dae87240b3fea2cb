package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

func TestReleaseFile(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"etc/x": ""})
	in := feature.Inputs{ToolVersion: "1.2", Now: time.Unix(86400, 0), UUID: "abc"}
	p, _ := HistoryMode("").Plan(&feature.Given{Facts: &machine.Facts{}, Inputs: in, Lowered: true})
	featuretest.MustRun(t, m, p[:2]...)
	if got, want := featuretest.Read(t, m, releaseFile), "TOOL_VERSION=\"1.2\"\nBUILD_DATE=\"1970-01-02T00:00:00Z\"\nIMAGE_UUID=\"abc\"\n\n"; got != want {
		t.Error(cmp.Diff(want, got))
	}
	if got, want := featuretest.Read(t, m, releaseFile2023), "TOOL_VERSION=\"1.2\"\nBUILD_DATE=\"1970-01-02T00:00:00Z\"\n\n"; got != want {
		t.Error(cmp.Diff(want, got))
	}
}
