package pkgmgr

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// section is one repository of a .repo file, dnf.conf(5).
type section struct {
	id   string
	keys [][2]string // in order
}

func parseRepos(text string) (list []*section, err error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		key, value, isKey := strings.Cut(trimmed, "=")
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			list = append(list, &section{id: trimmed[1 : len(trimmed)-1]})
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: %q stands outside of any [section]", number, trimmed)
		case line[0] == ' ' || line[0] == '\t': // continues the value above
			last := list[len(list)-1]
			if n := len(last.keys); n > 0 {
				last.keys[n-1][1] += " " + trimmed
			}
		case !isKey:
			return nil, fmt.Errorf("line %d: %q is neither a [section] nor key=value", number, trimmed)
		default:
			list[len(list)-1].set(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
	for _, s := range list {
		if s.get("baseurl") == "" && s.get("metalink") == "" && s.get("mirrorlist") == "" {
			return nil, fmt.Errorf("[%s] has no baseurl", s.id)
		}
	}
	return list, nil
}

func (s *section) get(key string) string {
	for _, kv := range s.keys {
		if kv[0] == key {
			return kv[1]
		}
	}
	return ""
}

func (s *section) set(key, value string) {
	for i := range s.keys {
		if s.keys[i][0] == key {
			s.keys[i][1] = value
			return
		}
	}
	s.keys = append(s.keys, [2]string{key, value})
}

// defaultPriority is what dnf takes where a repository says nothing.
const defaultPriority = 99

func (s *section) priority() int {
	if p, err := strconv.Atoi(s.get("priority")); err == nil {
		return p
	}
	return defaultPriority
}

func (s *section) write(b *strings.Builder) {
	fmt.Fprintf(b, "[%s]\n", s.id)
	for _, kv := range s.keys {
		fmt.Fprintf(b, "%s=%s\n", kv[0], kv[1])
	}
	b.WriteByte('\n')
}

// localize rewrites URLs of local files: file:// is a path on the build host, file+rel:// one beside
// the .repo file, and file+chroot:// one in the image.
func (s *section) localize(key, dir string, show func(path string) (string, error)) error {
	value := s.get(key)
	if value == "" {
		return nil
	}
	urls := strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	for i, u := range urls {
		path, host := strings.CutPrefix(u, "file://")
		if rel, ok := strings.CutPrefix(u, "file+rel://"); ok {
			path, host = filepath.Join(dir, rel), true
		}
		if inside, ok := strings.CutPrefix(u, "file+chroot://"); ok {
			urls[i] = "file://" + inside
			continue
		}
		if !host {
			continue
		}
		shown, err := show(path)
		if err != nil {
			return err
		}
		urls[i] = shown
	}
	s.set(key, strings.Join(urls, " "))
	return nil
}
