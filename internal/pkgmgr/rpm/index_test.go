package rpm

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// downloaded is a session of tdnf with an index of packages and what was downloaded.
func downloaded(t *testing.T, files map[string]string, index map[string]string) *transactions {
	t.Helper()
	s := &pkgmgr.Session{Machine: &machine.Machine{}, Dir: t.TempDir()}
	primary := &strings.Builder{}
	primary.WriteString(`<?xml version="1.0"?><metadata packages="1">` + "\n")
	for name, content := range index {
		sum := sha256.Sum256([]byte(content))
		fmt.Fprintf(primary, `<package type="rpm"><name>%s</name><arch>noarch</arch><version epoch="0" ver="1.0" rel="1"/><checksum type="sha256" pkgid="YES">%s</checksum>`+
			`<location href="RPMS/%s-1.0-1.noarch.rpm"/></package>`, name, hex.EncodeToString(sum[:]), name)
	}
	primary.WriteString("</metadata>")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(primary.String()))
	w.Close()
	sum := sha256.Sum256(packed.Bytes())
	write(t, s.Downloads()+"/base-12/repodata/x-primary.xml.gz", packed.String())
	write(t, s.Downloads()+"/base-12/repodata/repomd.xml", fmt.Sprintf(`<repomd><data type="primary"><checksum type="sha256">%s</checksum><location href="repodata/x-primary.xml.gz"/></data></repomd>`,
		hex.EncodeToString(sum[:])))
	for name, content := range files {
		write(t, s.Downloads()+"/base/rpms/RPMS/"+name+"-1.0-1.noarch.rpm", content)
	}
	return &transactions{Manager: TDNF, s: s, repos: &repoSet{sections: []*section{{id: "base", keys: []setting{{"enabled", "1", 1}}}}}}
}

func TestDownloadsAreComparedWithTheIndex(t *testing.T) {
	t.Parallel()
	index := map[string]string{"good": "a", "stale": "new", "other": "x"}
	r := downloaded(t, map[string]string{"good": "a", "stale": "old", "unknown": "y"}, index)
	err := r.damaged()
	if err == nil || !strings.Contains(err.Error(), "stale-1.0-1.noarch.rpm, unknown-1.0-1.noarch.rpm") {
		t.Errorf("got %v", err)
	}
	left, _ := os.ReadDir(r.received("base", "rpms", "RPMS"))
	if len(left) != 1 || left[0].Name() != "good-1.0-1.noarch.rpm" {
		t.Errorf("left: %v", left)
	}
	if err := r.damaged(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestPlacesOfDownloads(t *testing.T) {
	t.Parallel()
	r := downloaded(t, nil, nil)
	var p indexed
	p.Location.Href = "../../RPMS/x.rpm"
	x := rpmIndex{dir: "base-12"}
	if got := r.placeOf(x, p); got != "base/rpms/RPMS/x.rpm" {
		t.Errorf("tdnf: %s", got)
	}
	r.Manager = DNF5
	if got := r.placeOf(x, p); got != "base-12/packages/x.rpm" {
		t.Errorf("dnf5: %s", got)
	}
}
