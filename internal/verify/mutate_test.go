package verify

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"
)

// patient is an image that tests break, one thing at a time, and mend again.
type patient struct {
	Image
	t    *testing.T
	undo []func()
	disk *patchedDisk
}

func newPatient(t *testing.T, i Image) *patient {
	p := &patient{Image: i, t: t, disk: &patchedDisk{ReaderAt: i.Disk}}
	p.Disk = p.disk
	return p
}

// patchedDisk is a disk some of whose bytes are others. Later patches cover earlier ones.
type patchedDisk struct {
	io.ReaderAt
	patches []patch
}

type patch struct {
	at   int64
	data []byte
}

func (d *patchedDisk) ReadAt(b []byte, at int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(b, at)
	for _, p := range d.patches {
		for i, c := range p.data {
			if o := p.at + int64(i) - at; o >= 0 && o < int64(n) {
				b[o] = c
			}
		}
	}
	return n, err
}

func (p *patient) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// poke writes to the disk.
func (p *patient) poke(at int64, data ...byte) {
	n := len(p.disk.patches)
	p.disk.patches = append(p.disk.patches, patch{at, data})
	p.undo = append(p.undo, func() { p.disk.patches = p.disk.patches[:n] })
}

// write gives a file a content.
func (p *patient) write(name, text string) {
	p.t.Helper()
	old, err := p.Root.ReadAs(rootfs.UnifiedImage, name)
	if missing(err) {
		p.undo = append(p.undo, func() { p.must(p.Root.Remove(name)) })
	} else {
		p.must(err)
		p.undo = append(p.undo, func() { p.must(p.Root.WriteFile(name, old, 0o644)) })
	}
	p.must(p.Root.WriteFile(name, []byte(text), 0o644))
}

// edit replaces the first occurrence of a text in a file, which must have it.
func (p *patient) edit(name, from, to string) {
	p.t.Helper()
	text, err := p.Root.ReadFile(name)
	p.must(err)
	if !strings.Contains(string(text), from) {
		p.t.Fatalf("%s does not hold %q:\n%s", name, from, text)
	}
	p.write(name, strings.Replace(string(text), from, to, 1))
}

// hide moves a file or folder away.
func (p *patient) hide(name string) {
	p.t.Helper()
	aside := name + ".aside"
	if _, err := p.Root.Lstat(name); err != nil {
		p.t.Fatal(err)
	}
	p.must(p.Root.Rename(name, aside))
	p.undo = append(p.undo, func() { p.must(p.Root.Rename(aside, name)) })
}

// mutation breaks one thing. want is a regular expression for the finding in one line, and warning
// tells whether the system would boot all the same.
type mutation struct {
	name    string
	do      func(p *patient)
	want    string
	warning bool
}

// check breaks a sound image in each way, and looks for the finding that says so.
func (p *patient) check(t *testing.T, mutations []mutation) {
	p.sound(t, "as it is")
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			p.t = t
			p.undo = nil
			m.do(p)
			found := Run(t.Context(), p.Image)
			for i := len(p.undo) - 1; i >= 0; i-- {
				p.undo[i]()
			}
			expect(t, found, m)
			p.sound(t, "mended")
		})
	}
}

func (p *patient) sound(t *testing.T, when string) {
	t.Helper()
	for _, f := range Run(t.Context(), p.Image) {
		if f.Check != "clones" { // base images have SSH host keys
			t.Errorf("%s: %s", when, f)
		}
	}
}

func expect(t *testing.T, found []Finding, m mutation) {
	t.Helper()
	want := regexp.MustCompile("^" + m.want + "$")
	for _, f := range found {
		if want.MatchString(f.String()) {
			if f.Warning != m.warning {
				t.Errorf("warning: %v\n%s", f.Warning, f)
			}
			return
		}
	}
	t.Errorf("not found: %s\nfound: %v", m.want, found)
}
