package apt

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// aptEntry is what one line of a .list file or one paragraph of a .sources file asks for, sources.list(5).
type aptEntry struct {
	at         string // file and line, for messages
	uris       []string
	suites     []string // one that ends in a slash is a folder of its own, without components
	components []string
	archs      []string // empty: those of the image
	binary     bool     // deb, not only deb-src
	first, end int      // its lines, from 0
	uriFirst   int      // lines of the field URIs of a paragraph
	uriEnd     int
}

// aptEntries reads a file of sources. What apt would not take is left to apt to say.
func aptEntries(name, text string) []aptEntry {
	lines := strings.Split(text, "\n")
	if path.Ext(name) == ".sources" {
		return paragraphs(name, lines)
	}
	var list []aptEntry
	for i, line := range lines {
		words := aptWords(line)
		if len(words) < 3 || words[0] != "deb" && words[0] != "deb-src" {
			continue
		}
		e := aptEntry{at: fmt.Sprintf("%s:%d", name, i+1), binary: words[0] == "deb", first: i, end: i + 1}
		words = words[1:]
		if options, is := strings.CutPrefix(words[0], "["); is {
			e.options(strings.TrimSuffix(options, "]"))
			words = words[1:]
		}
		if len(words) < 2 {
			continue
		}
		e.uris, e.suites, e.components = words[:1], words[1:2], words[2:]
		list = append(list, e)
	}
	return list
}

// aptWords are the words of a line before a comment. Brackets hold words together.
func aptWords(line string) (words []string) {
	line, _, _ = strings.Cut(line, "#")
	depth, word := 0, ""
	for _, r := range line + " " {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		}
		if depth > 0 || r != ' ' && r != '\t' && r != '\r' {
			word += string(r)
		} else if word != "" {
			words, word = append(words, word), ""
		}
	}
	return words
}

func (e *aptEntry) options(text string) {
	for _, o := range strings.Fields(text) {
		if value, is := strings.CutPrefix(o, "arch="); is {
			e.archs = strings.Split(value, ",")
		}
	}
}

// paragraphs reads a .sources file.
func paragraphs(name string, lines []string) (list []aptEntry) {
	for i := 0; i < len(lines); {
		if blank(lines[i]) {
			i++
			continue
		}
		e := aptEntry{first: i, at: fmt.Sprintf("%s:%d", name, i+1)}
		for i < len(lines) && !blank(lines[i]) {
			i++
		}
		e.end = i
		if e.fields(lines) {
			list = append(list, e)
		}
	}
	return list
}

func blank(line string) bool { return strings.TrimSpace(line) == "" }

// fields reads a paragraph, and tells whether it is one that apt uses.
func (e *aptEntry) fields(lines []string) bool {
	enabled := true
	for i := e.first; i < e.end; {
		key, value, _ := strings.Cut(lines[i], ":")
		begin := i
		for i++; i < e.end && (strings.HasPrefix(lines[i], " ") || strings.HasPrefix(lines[i], "\t") || strings.HasPrefix(lines[i], "#")); i++ {
			if lines[i][0] != '#' {
				value += " " + lines[i]
			}
		}
		words := strings.Fields(value)
		switch strings.ToLower(key) {
		case "types":
			e.binary = slices.Contains(words, "deb")
		case "uris":
			e.uris, e.uriFirst, e.uriEnd = words, begin, i
		case "suites":
			e.suites = words
		case "components":
			e.components = words
		case "architectures":
			e.archs = words
		case "enabled":
			enabled = !slices.Contains([]string{"no", "false", "without", "off", "disable", "0"}, strings.ToLower(strings.TrimSpace(value)))
		}
	}
	return enabled && len(e.uris) > 0 && len(e.suites) > 0
}

// uriScheme is how an address begins.
var uriScheme = regexp.MustCompile(`^([a-z][a-z0-9+.-]*):`)

// unreachable says why an address can be no source of packages while the image is not running: it is on a medium that
// is not in a drive, or a folder that the image has nothing in.
func (e *aptEntry) unreachable(root *rootfs.Root, uri string) string {
	m := uriScheme.FindStringSubmatch(uri)
	if m == nil {
		return ""
	}
	switch m[1] {
	case "cdrom":
		return "it is on a CD"
	case "file", "copy":
		dir := "/" + strings.TrimLeft(uri[len(m[0]):], "/")
		if !slices.ContainsFunc(e.suites, func(s string) bool { return root.IsDir(path.Join(dir, suiteDir(s))) }) {
			return "the image has no such folder"
		}
	}
	return ""
}

// suiteDir is where the index of a suite lies below the address of its archive.
func suiteDir(suite string) string {
	if strings.HasSuffix(suite, "/") {
		return suite
	}
	return "dists/" + suite + "/"
}

// withoutUnreachable returns the text of a file of sources without addresses that cannot be reached, and
// a message for each.
func withoutUnreachable(root *rootfs.Root, name, text string) (rest string, entries []aptEntry, left []string) {
	lines := strings.Split(text, "\n")
	for _, e := range aptEntries(name, text) {
		gone := func(uri string) bool {
			why := e.unreachable(root, uri)
			if why != "" {
				left = append(left, fmt.Sprintf("%s: %s is left out, since %s", e.at, uri, why))
			}
			return why != ""
		}
		had := len(e.uris)
		e.uris = slices.DeleteFunc(slices.Clone(e.uris), gone)
		switch {
		case len(e.uris) == 0:
			for i := e.first; i < e.end; i++ {
				lines[i] = "# " + lines[i]
			}
			continue
		case len(e.uris) < had: // in a paragraph only
			for i := e.uriFirst; i < e.uriEnd; i++ {
				lines[i] = "#"
			}
			lines[e.uriFirst] = "URIs: " + strings.Join(e.uris, " ")
		}
		entries = append(entries, e)
	}
	return strings.Join(lines, "\n"), entries, left
}
