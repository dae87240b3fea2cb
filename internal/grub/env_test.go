package grub

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEnvAgainstGrubEditenv has grub-editenv read what we write, and reads what it writes.
func TestEnvAgainstGrubEditenv(t *testing.T) {
	t.Parallel()
	file := path.Join(t.TempDir(), "grubenv")
	output(t, "grub-editenv", file, "create")
	output(t, "grub-editenv", file, "set", "saved_entry=0", `back=a\b`, "kernelopts=root=UUID=1 ro", "gone=1")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEnv(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"saved_entry": "0", "back": `a\b`, "kernelopts": "root=UUID=1 ro", "gone": "1"}, e.Variables()); d != "" {
		t.Error(d)
	}
	if same, err := e.Bytes(); err != nil || string(same) != string(data) {
		t.Errorf("not the same block: %v %s", err, cmp.Diff(string(data), string(same)))
	}
	e.Set("saved_entry", `x\y`)
	e.Set("new", "two\nlines")
	e.Unset("gone")
	e.Unset("never")
	ours, err := e.Bytes()
	if err != nil || len(ours) != 1024 {
		t.Fatal(len(ours), err)
	}
	if err := os.WriteFile(file, ours, 0o644); err != nil {
		t.Fatal(err)
	}
	want := "saved_entry=x\\y\nback=a\\b\nkernelopts=root=UUID=1 ro\nnew=two\nlines\n"
	if d := cmp.Diff(want, output(t, "grub-editenv", file, "list")); d != "" {
		t.Error(d)
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	e := NewEnv()
	e.Set("a", "1")
	data, err := e.Bytes()
	if err != nil || string(data) != envHeader+"a=1\n"+strings.Repeat("#", 1024-len(envHeader)-4) {
		t.Errorf("%q, %v", data, err)
	}
	if v, ok := e.Get("a"); v != "1" || !ok {
		t.Error("a is lost")
	}
	if _, ok := e.Get("b"); ok {
		t.Error("b was never set")
	}
	e.Set("a", strings.Repeat("x", 1024))
	if _, err := e.Bytes(); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseEnv([]byte("a=1\n")); err == nil || !strings.Contains(err.Error(), "# GRUB Environment Block") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add(envHeader + "a=1\n# comment\nb=c\\\nd\n####")
	f.Add(envHeader + "mariner_linux=vmlinuz-1\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEnv([]byte(text))
		if err != nil {
			return
		}
		data, err := e.Bytes()
		if err != nil {
			return // no room for the last line's break
		}
		again, err := ParseEnv(data)
		if err != nil || !cmp.Equal(e.Variables(), again.Variables()) || len(data) != len(text) {
			t.Errorf("%q became %q (%v)", text, data, err)
		}
	})
}
