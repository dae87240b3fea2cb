package booting

import (
	"context"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestCheckKernel(t *testing.T) {
	t.Parallel()
	with := featuretest.Tree(t, map[string]string{"lib/modules/6.1/modules.dep": ""})
	featuretest.MustRun(t, with, CheckKernel{})
	without := featuretest.Tree(t, map[string]string{"etc/x": ""})
	if err := (CheckKernel{}).Run(context.Background(), without); err == nil {
		t.Error("an image without a kernel passes")
	}
}
