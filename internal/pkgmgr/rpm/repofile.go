package rpm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"imagecustomizer/internal/pkgmgr"
)

// setting is one line of a section.
type setting struct {
	key, value string
	line       int
}

// section is one repository of a .repo file, dnf.conf(5).
type section struct {
	id   string
	file string // as people are told
	line int
	keys []setting // in order
}

// sectionHead is a line that begins a section.
var sectionHead = regexp.MustCompile(`^\[([^][]*)\]\s*(?:[#;].*)?$`)

// mainSection holds settings of a package manager, never a repository.
const mainSection = "main"

// parseINI reads a file of yum, dnf or tdnf as Python's configparser does, from which the format comes: "="
// or ":" behind a key, a mark of UTF-8 in front, lines that continue the one above.
func parseINI(file, text string) (list []*section, faults []pkgmgr.Fault) {
	fault := func(line int, format string, args ...any) {
		faults = append(faults, pkgmgr.Fault{Where: fmt.Sprintf("%s:%d", file, line), Text: fmt.Sprintf(format, args...)})
	}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		var now *section
		if len(list) > 0 {
			now = list[len(list)-1]
		}
		head := sectionHead.FindStringSubmatch(trimmed)
		cut := strings.IndexAny(trimmed, "=:")
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case head != nil:
			list = append(list, &section{id: strings.TrimSpace(head[1]), file: file, line: number})
		case now == nil:
			fault(number, "%q stands outside of any [section]", trimmed)
		case (line[0] == ' ' || line[0] == '\t') && len(now.keys) > 0:
			last := &now.keys[len(now.keys)-1]
			last.value = strings.TrimSpace(last.value + " " + trimmed)
		case cut <= 0:
			fault(number, "%q is neither a [section] nor key=value", trimmed)
		default:
			now.add(strings.TrimSpace(trimmed[:cut]), strings.TrimSpace(trimmed[cut+1:]), number)
		}
	}
	return list, faults
}

// parseRepos reads the repositories of a .repo file.
func parseRepos(file, text string) (list []*section, faults []pkgmgr.Fault) {
	all, faults := parseINI(file, text)
	for _, s := range all {
		if s.id != mainSection {
			list = append(list, s)
		}
	}
	return list, faults
}

func (s *section) at(key string) string {
	for _, k := range s.keys {
		if k.key == key {
			return fmt.Sprintf("%s:%d", s.file, k.line)
		}
	}
	return fmt.Sprintf("%s:%d", s.file, s.line)
}

func (s *section) get(key string) string {
	for _, k := range s.keys {
		if k.key == key {
			return k.value
		}
	}
	return ""
}

func (s *section) add(key, value string, line int) {
	for i := range s.keys {
		if s.keys[i].key == key {
			s.keys[i].value, s.keys[i].line = value, line
			return
		}
	}
	s.keys = append(s.keys, setting{key, value, line})
}

func (s *section) set(key, value string) {
	line := s.line
	for _, k := range s.keys {
		if k.key == key {
			line = k.line
		}
	}
	s.add(key, value, line)
}

// booleans are the words that yum, dnf and tdnf take for one.
var booleans = map[string]bool{"1": true, "yes": true, "true": true, "on": true, "0": false, "no": false, "false": false, "off": false}

// is returns a boolean setting.
func (s *section) is(key string, otherwise bool) bool {
	if value, known := booleans[strings.ToLower(s.get(key))]; known {
		return value
	}
	return otherwise
}

// priorityRange bounds what a repository may say of its priority: there is room for that many between
// two sources.
const priorityRange = 1000

func (s *section) priority(otherwise int) int {
	if p, err := strconv.Atoi(s.get("priority")); err == nil {
		return min(max(p, 0), priorityRange-1)
	}
	return otherwise
}

var repositoryID = regexp.MustCompile(`^[-a-zA-Z0-9_.:]+$`)

// check looks for what a package manager would refuse, or silently read as something else.
func (s *section) check() (faults []pkgmgr.Fault) {
	fault := func(key, hint, format string, args ...any) {
		faults = append(faults, pkgmgr.Fault{Where: s.at(key), Text: fmt.Sprintf("[%s] ", s.id) + fmt.Sprintf(format, args...), Hint: hint})
	}
	if !repositoryID.MatchString(s.id) {
		fault("", "use letters, digits and - _ . : only", "is not a name for a repository")
	}
	if s.get("baseurl") == "" && s.get("metalink") == "" && s.get("mirrorlist") == "" {
		fault("", "write baseurl=", "has no baseurl, metalink or mirrorlist")
	}
	if p := s.get("priority"); p != "" {
		if _, err := strconv.Atoi(p); err != nil {
			fault("priority", "write a number; the lower one wins", "priority: %q is not a number", p)
		}
	}
	for _, key := range []string{"enabled", "gpgcheck", "repo_gpgcheck", "sslverify", "skip_if_unavailable"} {
		if _, known := booleans[strings.ToLower(s.get(key))]; !known && s.get(key) != "" {
			fault(key, "write 1 or 0", "%s: %q is neither true nor false", key, s.get(key))
		}
	}
	return faults
}

func (s *section) write(b *strings.Builder) {
	fmt.Fprintf(b, "[%s]\n", s.id)
	for _, k := range s.keys {
		fmt.Fprintf(b, "%s=%s\n", k.key, k.value)
	}
	b.WriteByte('\n')
}
