package rpm

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// rpmIndex is the index of one repository as the package manager has stored it.
type rpmIndex struct {
	dir     string // below the session's downloads
	repomd  []byte
	primary string // file beside repomd.xml
	sum     checksum
}

// checksum is one as repomd.xml and primary.xml write them.
type checksum struct {
	Type  string `xml:"type,attr"`
	Value string `xml:",chardata"`
}

// hashes are those that createrepo_c can be told to use.
var hashes = map[string]func() hash.Hash{"sha": sha1.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// of tells whether this is the checksum of what r yields.
func (c checksum) of(r io.Reader) (bool, error) {
	hash := hashes[c.Type]
	if hash == nil {
		return false, nil
	}
	h := hash()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)) == strings.TrimSpace(c.Value), err
}

// indexed is one package of an index.
type indexed struct {
	Name    string `xml:"name"`
	Version struct {
		Epoch   string `xml:"epoch,attr"`
		Version string `xml:"ver,attr"`
		Release string `xml:"rel,attr"`
	} `xml:"version"`
	Sum      checksum `xml:"checksum"`
	Location struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
}

const (
	maxRepomd  = 1 << 20
	maxPackage = 16 << 20 // what an index says of one package
)

// rpmIndexes finds the indexes below the session's downloads.
func rpmIndexes(root *rootfs.Root) (list []rpmIndex, err error) {
	entries, err := root.ReadDir("/")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, err := root.Open("/"+e.Name()+"/repodata/repomd.xml", os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxRepomd))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if index, is := parseRepomd(text); is {
			index.dir = e.Name()
			list = append(list, index)
		}
	}
	return list, nil
}

func parseRepomd(text []byte) (index rpmIndex, is bool) {
	var md struct {
		Data []struct {
			Type     string   `xml:"type,attr"`
			Sum      checksum `xml:"checksum"`
			Location struct {
				Href string `xml:"href,attr"`
			} `xml:"location"`
		} `xml:"data"`
	}
	if err := xml.Unmarshal(text, &md); err != nil {
		return index, false
	}
	for _, d := range md.Data {
		if d.Type == "primary" {
			return rpmIndex{repomd: text, primary: path.Base(d.Location.Href), sum: d.Sum}, true
		}
	}
	return index, false
}

// open opens the list of packages as it is stored.
func (x rpmIndex) open(root *rootfs.Root) (*os.File, error) {
	return root.Open("/"+x.dir+"/repodata/"+x.primary, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// each calls use for the packages that want wants by their name and their file's name. It takes no more
// memory than one package does, and reads no more of the others than that.
func (x rpmIndex) each(root *rootfs.Root, want func(name, file string) bool, use func(indexed) error) error {
	f, err := x.open(root)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := pkgmgr.Unpacked(x.primary, bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxPackage)
	lines.Split(splitPackages)
	for lines.Scan() {
		text := lines.Bytes()
		at := bytes.Index(text, []byte("<package "))
		name, file := between(text, "<name>", "</name>"), between(after(text, "<location "), `href="`, `"`)
		if at < 0 || !want(name, path.Base(file)) {
			continue
		}
		var p indexed
		if err := xml.Unmarshal(text[at:], &p); err != nil {
			return fmt.Errorf("%s: %w", x.primary, err)
		}
		if err := use(p); err != nil {
			return err
		}
	}
	return lines.Err()
}

var endOfPackage = []byte("</package>")

// splitPackages is a bufio.SplitFunc that yields what goes up to the end of a package.
func splitPackages(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.Index(data, endOfPackage); i >= 0 {
		n := i + len(endOfPackage)
		return n, data[:n], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

func after(text []byte, mark string) []byte {
	if i := bytes.Index(text, []byte(mark)); i >= 0 {
		return text[i+len(mark):]
	}
	return nil
}

func between(text []byte, from, to string) string {
	rest := after(text, from)
	if i := bytes.Index(rest, []byte(to)); i >= 0 {
		return string(rest[:i])
	}
	return ""
}
