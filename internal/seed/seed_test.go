package seed

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
)

func TestSameSeedSameValues(t *testing.T) {
	t.Parallel()
	a, b := New("text"), New("text")
	if a.UUID("x") != b.UUID("x") || !bytes.Equal(a.Bytes("x", 40), b.Bytes("x", 40)) {
		t.Error("one seed gives two values for one name")
	}
	for name, other := range map[string]string{
		"another name": a.UUID("y"), "another seed": New("texu").UUID("x"), "a random seed": New("").UUID("x"), "another random seed": New("").UUID("x"),
	} {
		if other == a.UUID("x") {
			t.Errorf("%s gives the same value", name)
		}
	}
}

func TestUUIDIsRandomKind(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "b", "c", "d"} {
		id, err := uuid.Parse(New("text").UUID(name))
		if err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
			t.Errorf("%v is version %d, %v: %v", id, id.Version(), id.Variant(), err)
		}
	}
}

// TestValuesStay holds the derivation itself: images are rebuilt from a seed years later.
func TestValuesStay(t *testing.T) {
	t.Parallel()
	if got, want := New("text").UUID("image"), "b8f4af84-3173-4570-80fe-4448f0a9a134"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTextUsesTheAlphabet(t *testing.T) {
	t.Parallel()
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	got := New("text").Text("salt", 16, alphabet)
	if len(got) != 16 || got == New("text").Text("other", 16, alphabet) {
		t.Errorf("got %q", got)
	}
	for _, c := range got {
		if !bytes.ContainsRune([]byte(alphabet), c) {
			t.Errorf("%q is not in the alphabet", c)
		}
	}
}
