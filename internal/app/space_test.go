package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/feature/packages"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/step"
)

func TestOutputShares(t *testing.T) {
	t.Parallel()
	raw, err := diskformat.Parse("raw")
	if err != nil {
		t.Fatal(err)
	}
	cosi, err := diskformat.Parse("cosi")
	if err != nil {
		t.Fatal(err)
	}
	targets := []*job.Output{
		{Path: "/a/x.raw", Format: raw},
		{Path: "/b/x.cosi", Format: cosi},
		{Path: "/c/x_1.raw", Split: output.SplitRaw, Partition: 1},
		{Path: "/c/x_2.raw", Split: output.SplitRaw, Partition: 2},
		{Path: "/d/x_1.raw.zst", Split: output.SplitZstd, Partition: 1},
		{Path: "/d/x_2.raw.zst", Split: output.SplitZstd, Partition: 2},
	}
	need := map[string]int64{}
	for _, s := range outputShares(targets, 4000) {
		need[s.dir] += s.bytes
	}
	for dir, want := range map[string]int64{"/a": 4000, "/b": 1000, "/c": 4000, "/d": 1000} {
		if need[dir] != want {
			t.Errorf("%s needs %d, want %d", dir, need[dir], want)
		}
	}
}

// TestShareOfTheWorkingDisk counts only changes where partitions are written from the base image.
func TestShareOfTheWorkingDisk(t *testing.T) {
	t.Parallel()
	const data = 4 << 30
	installs := &step.Config{OS: step.OS{Packages: packages.Packages{UpdateExisting: true}}}
	onBase := []job.Resource{{Role: job.Changes}}
	for _, c := range []struct {
		job  job.Job
		want int64
	}{
		{job.Job{}, data + changes},
		{job.Job{Config: installs}, data + changes + packageChanges},
		{job.Job{Resources: onBase}, changes},
		{job.Job{Resources: onBase, Config: installs}, changes + packageChanges},
		{job.Job{Resources: onBase, Image: job.Image{Format: diskformat.Image{Size: changes / 2}}}, changes / 2},
	} {
		c.job.Image.Format.Size = cmp.Or(c.job.Image.Format.Size, 2*data)
		if disk := sharesOf(data, "", &c.job)[0]; disk.bytes != c.want {
			t.Errorf("%+v: %d bytes, want %d", c.job, disk.bytes, c.want)
		}
	}
}

// TestCacheSpaceIsAskedForWhatIsCached asks for none where all packages come from folders.
func TestCacheSpaceIsAskedForWhatIsCached(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := filepath.Join(dir, "a.list")
	if err := os.WriteFile(list, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	installs := &step.Config{OS: step.OS{Packages: packages.Packages{UpdateExisting: true}}}
	folder, file := []pkgmgr.Source{{Path: dir}}, []pkgmgr.Source{{Path: dir}, {Path: list}}
	for _, c := range []struct {
		job  job.Job
		want bool
	}{
		{job.Job{}, false},
		{job.Job{Config: installs}, true},
		{job.Job{Config: installs, NoBaseRepos: true, DebSources: folder, RPMSources: folder}, false},
		{job.Job{Config: installs, NoBaseRepos: true, DebSources: file}, true},
	} {
		asked := slices.ContainsFunc(sharesOf(1, "", &c.job), func(s share) bool { return s.what == "the package cache" })
		if asked != c.want {
			t.Errorf("%+v: %v", c.job, asked)
		}
	}
}

// TestLiveShares packs the system apart only where there is no medium whose place it can take.
func TestLiveShares(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]int64{"raw": 0, "iso": 0, "pxe-tar": 1000, "pxe-dir pxe-tar": 1000, "pxe-dir iso": 0} {
		var targets []*job.Output
		for _, n := range strings.Fields(names) {
			f, err := diskformat.Parse(n)
			if err != nil {
				t.Fatal(err)
			}
			targets = append(targets, &job.Output{Format: f})
		}
		got := int64(0)
		for _, s := range liveShares(targets, "/x", 4000) {
			got += s.bytes
		}
		if got != want {
			t.Errorf("%s: %d, want %d", names, got, want)
		}
	}
}

// TestSpaceOfMissingFolders looks at the filesystem that a folder will lie on.
func TestSpaceOfMissingFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing := filepath.Join(dir, "not", "yet")
	if got := existing(missing); got != dir {
		t.Errorf("existing is %s", got)
	}
	list, err := shares{{"x", missing, 1}, {"y", dir, 2}}.demands()
	if err != nil || len(list) != 1 || list[0].bytes != 3 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("it was made")
	}
}

// TestSpaceExplainsWhatIsOver has runs that failed for want of space where there is some again.
func TestSpaceExplainsWhatIsOver(t *testing.T) {
	t.Parallel()
	need := shares{{"x", t.TempDir(), 1}}
	for cause, want := range map[error]string{
		unix.ENOSPC: "was full for a while", unix.EIO: "a disk is at fault, or a filesystem was full for a while", unix.EINVAL: "",
	} {
		err := need.explain(fmt.Errorf("write: %w", cause))
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "for a while") != (want != "") {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
