package rpm

import (
	"cmp"
	"strings"
)

// evr is epoch, version and release of a package. An empty release stands for any.
type evr struct{ epoch, version, release string }

func parseEVR(text string) evr {
	epoch, rest, has := strings.Cut(text, ":")
	if !has {
		epoch, rest = "0", text
	}
	version, release, _ := strings.Cut(rest, "-")
	return evr{cmp.Or(epoch, "0"), version, release}
}

// compare is how a package manager orders two of them.
func (a evr) compare(b evr) int {
	c := cmp.Or(compareVersions(a.epoch, b.epoch), compareVersions(a.version, b.version))
	if c == 0 && a.release != "" && b.release != "" {
		c = compareVersions(a.release, b.release)
	}
	return c
}

// compareVersions is rpmvercmp of librpm: runs of digits and of letters are compared in turn; "~" sorts
// before everything, even the end, and "^" behind the end but before all else.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if before := compareMark(&a, &b, '~', -1); before != 0 {
			return before
		}
		if before := compareMark(&a, &b, '^', 1); before != 0 {
			return before
		}
		if marked(a) || a == "" || b == "" {
			if marked(a) {
				continue
			}
			return cmp.Compare(len(a), len(b))
		}
		digits := isDigit(rune(a[0]))
		x, y := take(&a, digits), take(&b, digits)
		if y == "" { // digits are newer than letters
			return map[bool]int{true: 1, false: -1}[digits]
		}
		if c := compareRuns(x, y, digits); c != 0 {
			return c
		}
	}
	return 0
}

func compareRuns(x, y string, digits bool) int {
	if !digits {
		return cmp.Compare(x, y)
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
}

// compareMark looks at a mark in front of either. Both are taken off; of one alone, sign says which way
// it goes against an end, and against anything else the mark is the lesser.
func compareMark(a, b *string, mark byte, sign int) int {
	hasA, hasB := *a != "" && (*a)[0] == mark, *b != "" && (*b)[0] == mark
	switch {
	case hasA && hasB:
		*a, *b = (*a)[1:], (*b)[1:]
	case hasA && *b == "":
		return sign
	case hasB && *a == "":
		return -sign
	case hasA:
		return -1
	case hasB:
		return 1
	}
	return 0
}

func marked(s string) bool { return s != "" && (s[0] == '~' || s[0] == '^') }

func separates(c rune) bool { return !isDigit(c) && !isLetter(c) && c != '~' && c != '^' }
func isDigit(c rune) bool   { return c >= '0' && c <= '9' }
func isLetter(c rune) bool  { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// take cuts off the run of digits, or of letters, in front.
func take(s *string, digits bool) string {
	is := isLetter
	if digits {
		is = isDigit
	}
	n := strings.IndexFunc(*s, func(c rune) bool { return !is(c) })
	if n < 0 {
		n = len(*s)
	}
	run := (*s)[:n]
	*s = (*s)[n:]
	return run
}
