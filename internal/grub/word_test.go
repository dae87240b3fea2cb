package grub

import "testing"

func TestLoaderWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"a": "a", "a b": `"a b"`, `a\b`: `a\\b`, `a\x2db`: `a\x2db`, `it's`: `it\'s`, `a"b c`: `"a\"b c"`,
	} {
		if got := LoaderWord(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
