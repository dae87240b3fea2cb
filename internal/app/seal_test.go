package app

import (
	"strings"
	"testing"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/step"
)

// TestSealingIsPlanned has what every run ends with in the plan, and what only some need where they do.
func TestSealingIsPlanned(t *testing.T) {
	t.Parallel()
	root, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	cosi, err := diskformat.Parse("cosi")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		job   job.Job
		seals []image.Seal
		want  string
	}{
		"raw":    {job.Job{Outputs: []*job.Output{{}}}, nil, "close verify check detach"},
		"cosi":   {job.Job{Outputs: []*job.Output{{Format: cosi, Shrunk: true}}}, nil, "describe close shrink verify check detach"},
		"seeded": {job.Job{Outputs: []*job.Output{{}}, Fixed: true}, nil, "close settle verify check detach"},
		"verity": {job.Job{Outputs: []*job.Output{{}}}, []image.Seal{{}}, "close verity verify check detach"},
		"shrink": {job.Job{Outputs: []*job.Output{{}}, Config: &step.Config{Storage: storage.Storage{Shrink: &storage.Shrink{}}}}, nil, "close shrink verify check detach"},
	} {
		w := &worker{job: &c.job, seals: c.seals, machine: machine.NewFake(&machine.Facts{}, root).Machine}
		var names []string
		for _, s := range w.sealing() {
			names = append(names, s.Name())
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
