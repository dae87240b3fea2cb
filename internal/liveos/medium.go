package liveos

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// medium is an ISO image whose files are read where they lie. No program unpacks it: names and links of a
// medium never become paths of this host.
type medium struct {
	name  string
	files map[string]extent
	links map[string]string // text by path
}

// extent is where a file lies, in bytes.
type extent struct{ at, size int64 }

// quoted is a name in a listing, which may hold any character.
const quoted = `('(?:[^']|'"'"')*')`

var (
	fileLine = regexp.MustCompile(`(?m)^File data lba: +0 , +(\d+) , +\d+ , +(\d+) , ` + quoted + `$`)
	linkLine = regexp.MustCompile(`(?m)^l\S{9,} .*? ` + quoted + ` -> ` + quoted + `$`)
)

// openMedium lists what a medium has.
func openMedium(ctx context.Context, name string) (*medium, error) {
	name, err := filepath.Abs(name) // what begins with a word and a colon is a kind of drive to xorriso
	if err != nil {
		return nil, err
	}
	c := hostcmd.New("xorriso", "-indev", name, "-find", "/", "-exec", "report_lba", "--", "-find", "/", "-type", "l", "-exec", "lsdl", "--").Reading(name)
	listing, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	return readListing(name, listing), nil
}

func readListing(name, listing string) *medium {
	m := &medium{name: name, files: map[string]extent{}, links: map[string]string{}}
	for _, f := range fileLine.FindAllStringSubmatch(listing, -1) {
		const block = 2048
		first, errA := strconv.ParseInt(f[1], 10, 64)
		size, errB := strconv.ParseInt(f[2], 10, 64)
		if _, twice := m.files[unquote(f[3])]; errA == nil && errB == nil && !twice {
			m.files[unquote(f[3])] = extent{first * block, size}
		}
	}
	for _, l := range linkLine.FindAllStringSubmatch(listing, -1) {
		m.links[unquote(l[1])] = unquote(l[2])
	}
	return m
}

// unquote undoes how xorriso writes names, which is that of a shell.
func unquote(text string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'"), `'"'"'`, "'")
}

// find is where a file lies.
func (m *medium) find(name string) (extent, error) {
	e, ok := m.files[path.Clean("/"+name)]
	if !ok {
		return extent{}, fmt.Errorf("the medium has no %s", name)
	}
	return e, nil
}

// root is where the packed root filesystem lies.
func (m *medium) root() (extent, error) {
	if e, err := m.find(liveBootRoot); err == nil {
		return e, nil
	}
	return m.find(dracutRoot)
}

// read hands a file to f.
func (m *medium) read(name string, f func(r *io.SectionReader) error) error {
	e, err := m.find(name)
	if err != nil {
		return err
	}
	return m.at(e, f)
}

// at hands what lies at a place to f.
func (m *medium) at(e extent, f func(r *io.SectionReader) error) error {
	file, err := os.Open(m.name)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(io.NewSectionReader(file, e.at, e.size))
}

// maxText bounds the text files that are read.
const maxText = 16 << 20

// text is the content of a text file.
func (m *medium) text(name string) (text string, err error) {
	err = m.read(name, func(r *io.SectionReader) error {
		if r.Size() > maxText {
			return fmt.Errorf("%s of the medium has more than %d MiB", name, maxText>>20)
		}
		data, err := io.ReadAll(r)
		if err == nil && int64(len(data)) < r.Size() {
			err = fmt.Errorf("%s of the medium lies behind its end", name)
		}
		text = string(data)
		return err
	})
	return text, err
}
