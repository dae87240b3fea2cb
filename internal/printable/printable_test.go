package printable

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n", "日本 ä": "日本 ä",
		"\x1b[31m\r\a\b": `\u001b[31m\u000d\u0007\u0008`, "\u009b1m": `\u009b1m`,
		"a\u202eb\u2066c": `a\u202eb\u2066c`, "a\u2028b": `a\u2028b`, "\U000e0001": `\udb40\udc01`, "a\xffb": "a\ufffdb",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Line(" a\nb\x1bc "); got != `a b\u001bc` {
		t.Errorf("a line: %q", got)
	}
	if got := Aligned("a\x1bb"); got != "a\ufffdb" {
		t.Errorf("aligned: %q", got)
	}
}

// TestEveryCharacter takes every character there is: what is printed has none that a terminal obeys or that
// is not seen, and as the inside of a JSON string it still means the same.
func TestEveryCharacter(t *testing.T) {
	t.Parallel()
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if r > 0xe000 && unicode.Is(unicode.Co, r) { // private use: one is as good as the others
			continue
		}
		if !unicode.IsOneOf([]*unicode.RangeTable{unicode.C, unicode.Z}, r) || r >= 0xd800 && r <= 0xdfff || r == ' ' || r == '\n' || r == '\t' {
			continue
		}
		var out bytes.Buffer
		if err := json.NewEncoder(Writer(&out)).Encode(string(r)); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != string(r) {
			t.Fatalf("%U: %s, %v", r, out.Bytes(), err)
		}
		for _, c := range out.String() {
			if c != '\n' && (c < ' ' || c == 0x7f || unicode.Is(unicode.C, c) || unicode.Is(unicode.Zl, c)) {
				t.Fatalf("%U is printed as %q", r, out.String())
			}
		}
	}
}
