package compose

import "testing"

// TestWhatIsKnownWithoutFacts: a condition is known where one side settles it, and never before.
func TestWhatIsKnownWithoutFacts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"distro == 'x'": "unknown", "distro == 'x' && true": "unknown", "distro == 'x' && false": "false", "false && distro == 'x'": "false",
		"distro == 'x' || true": "true", "true || distro == 'x'": "true", "distro == 'x' || false": "unknown", "!(distro == 'x')": "unknown",
		"version < '3' || version >= '3'": "unknown", "true": "true", "1 < 2 && 2 <= 2 && !(3 > 3)": "true", "'a' != 'b'": "true",
	} {
		e, err := parseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := scope{c: &composer{}, when: true}.eval(e)
		got := v.value.String()
		if !v.known {
			got = "unknown"
		}
		if err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", text, got, err, want)
		}
	}
}

// TestVersionsAreCompared part by part, as numbers.
func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"version == '3.0'": "false", "version == '3.10'": "true", "version == '3.10.0'": "true", "version > '3.9'": "true", "version < '3.9'": "false",
		"'3.9' < version": "true", "version >= '10'": "false", "version != '3.1'": "true", "arch == 'amd64'": "true", "arch == 'x86_64'": "true", "arch == 'arm64'": "false",
	} {
		e, err := parseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		c := &composer{options: Options{Facts: &Facts{Version: "3.10", Arch: "x86_64"}}}
		if v, err := (scope{c: c, when: true}).eval(e); err != nil || !v.known || v.value.String() != want {
			t.Errorf("%s is %s (%v), want %s", text, v.value, err, want)
		}
	}
}
