package app

import (
	"fmt"
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
		"raw":    {job.Job{Outputs: []*job.Output{{}}}, nil, "trim close verify check detach"},
		"cosi":   {job.Job{Outputs: []*job.Output{{Format: cosi, Shrunk: true}}}, nil, "describe trim close shrink verify check detach"},
		"seeded": {job.Job{Outputs: []*job.Output{{}}, Fixed: true}, nil, "trim close settle verify check detach"},
		"verity": {job.Job{Outputs: []*job.Output{{}}}, []image.Seal{{}}, "trim close verity verify check detach"},
		"shrink": {job.Job{Outputs: []*job.Output{{}}, Config: &step.Config{Storage: storage.Storage{Shrink: &storage.Shrink{}}}}, nil, "trim close shrink verify check detach"},
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

// TestWritingIsPlanned: outputs of the disk as it is come before those of shrunk filesystems, and the one that the disk
// becomes is the last.
func TestWritingIsPlanned(t *testing.T) {
	t.Parallel()
	format := func(name string) diskformat.Format {
		f, err := diskformat.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	inPlace := string(job.Disk)
	split := func(n int) *job.Output {
		return &job.Output{Split: "raw", Partition: n, Path: fmt.Sprint("/p", n), Shrunk: true}
	}
	for name, c := range map[string]struct {
		outputs   []*job.Output
		want      string
		unwritten int
	}{
		"raw in place":   {[]*job.Output{{Format: format("raw"), Resource: inPlace}}, "written", 0},
		"qcow2 in place": {[]*job.Output{{Format: format("qcow2"), Resource: inPlace}, {Format: format("vhdx")}}, "output.vhdx written output.qcow2", 0},
		"as it is, then shrunk": {
			[]*job.Output{{Format: format("cosi"), Shrunk: true}, {Format: format("vhdx")}, split(1), split(2), split(3)},
			"output.vhdx shrink output.cosi output.partition-1 output.partition-3 written", 1,
		},
		"all shrunk": {[]*job.Output{{Format: format("cosi"), Shrunk: true}}, "output.cosi written", 0},
	} {
		w := &worker{job: &job.Job{Outputs: c.outputs}, result: &job.Result{}}
		var names []string
		for _, s := range w.writing([]int{1, 3}).Steps() {
			names = append(names, s.Name())
		}
		if got := strings.Join(names, " "); got != c.want || len(w.result.Unwritten) != c.unwritten {
			t.Errorf("%s: %s, want %s; not written: %q", name, got, c.want, w.result.Unwritten)
		}
	}
}
