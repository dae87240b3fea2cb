package boot

import "strings"

// CompareVersions tells which of two versions is older: digit groups are compared as numbers, the rest as text.
func CompareVersions(a, b string) int {
	for a != "" && b != "" {
		x, restA := versionPart(a)
		y, restB := versionPart(b)
		if len(x) != len(y) && isDigit(x[0]) && isDigit(y[0]) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return len(a) - len(b)
}

// versionPart is the digits or the other characters that a version begins with; zeros in front of
// digits do not count.
func versionPart(v string) (part, rest string) {
	n := 1
	for n < len(v) && isDigit(v[n]) == isDigit(v[0]) {
		n++
	}
	part = v[:n]
	if trimmed := strings.TrimLeft(part, "0"); isDigit(v[0]) && trimmed != "" {
		part = trimmed
	}
	return part, v[n:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
