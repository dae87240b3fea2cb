package apt

import (
	"bytes"
	"path"
	"strings"
)

// debWish is a package as a config asks for it, in apt's words: name, name:arch, name=version, name/suite or
// a pattern of names.
type debWish struct {
	text    string
	name    string
	arch    string
	version string
	suite   string
}

func parseDebWish(text string) debWish {
	w := debWish{text: text}
	w.name, w.version, _ = strings.Cut(text, "=")
	if w.version == "" {
		w.name, w.suite, _ = strings.Cut(text, "/")
	}
	w.name, w.arch, _ = strings.Cut(w.name, ":")
	return w
}

func parseDebWishes(texts []string) (list []debWish) {
	for _, t := range texts {
		list = append(list, parseDebWish(t))
	}
	return list
}

// pattern tells whether the name stands for several: a pattern of the shell.
func (w debWish) pattern() bool { return strings.ContainsAny(w.name, "*?[") }

// open tells whether nothing but apt knows what is meant: a task, or a regular expression.
func (w debWish) open() bool { return strings.ContainsAny(w.name, "^$()|\\") }

// named tells whether the package is the one that is wished for, by its own name.
func (w debWish) named(s *stanza) bool {
	if w.version != "" && w.version != string(s.version) || !w.fits(s) {
		return false
	}
	if w.pattern() {
		ok, _ := path.Match(w.name, string(s.name))
		return ok
	}
	return w.name == string(s.name)
}

func (w debWish) fits(s *stanza) bool {
	return w.arch == "" || w.arch == "any" || w.arch == "native" || w.arch == string(s.arch) || string(s.arch) == "all"
}

// provided tells whether the package stands for what is wished for: a virtual package, or one that was
// renamed. deb-control(5) has the form, a list of "name" and "name (= version)".
func (w debWish) provided(s *stanza) bool {
	if len(s.provides) == 0 || !bytes.Contains(s.provides, []byte(w.name)) || !w.fits(s) || w.pattern() {
		return false
	}
	for p := range bytes.SplitSeq(s.provides, []byte(",")) {
		name, version, _ := strings.Cut(string(bytes.TrimSpace(p)), " ")
		name, _, _ = strings.Cut(name, ":")
		if name == w.name && (w.version == "" || w.version == strings.Trim(version, "(= )")) {
			return true
		}
	}
	return false
}

// satisfied tells whether the package is what is wished for, under whatever name.
func (w debWish) satisfied(s *stanza) bool { return w.named(s) || w.provided(s) }
