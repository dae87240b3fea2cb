package initramfs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// archive makes a cpio archive of name, content pairs.
func archive(pairs ...string) string {
	var b strings.Builder
	add := func(name, content string) {
		fmt.Fprintf(&b, "070701%s%08X%s%08X%08X", strings.Repeat("0", 6*8), len(content), strings.Repeat("0", 4*8), len(name)+1, 0)
		b.WriteString(name + "\x00")
		b.WriteString(strings.Repeat("\x00", int(align(int64(b.Len())))-b.Len()))
		b.WriteString(content)
		b.WriteString(strings.Repeat("\x00", int(align(int64(b.Len())))-b.Len()))
	}
	for i := 0; i < len(pairs); i += 2 {
		add(pairs[i], pairs[i+1])
	}
	add(trailer, "")
	return b.String()
}

func TestMainSegment(t *testing.T) {
	t.Parallel()
	early := archive("kernel/x86/microcode/GenuineIntel.bin", "microcode") + strings.Repeat("\x00", 500)
	early += strings.Repeat("\x00", int(align(int64(len(early))))-len(early))
	body := archive("init", "#!/bin/sh\n", "etc/x", strings.Repeat("y", 5000))
	for name, c := range map[string]struct {
		image string
		want  int
	}{
		"plain":                      {body, 0},
		"compressed":                 {"\x1f\x8b" + body, 0},
		"early, then compressed":     {early + "\x28\xb5\x2f\xfdrest", len(early)},
		"early, then plain":          {early + body, len(early)},
		"padded at the end":          {body + strings.Repeat("\x00", 700), 0},
		"two early, then compressed": {early + early + "\x1f\x8bx", 2 * len(early)},
		"cut short":                  {body[:len(body)-90], 0},
		"empty":                      {"", 0},
	} {
		if got := mainSegment(strings.NewReader(c.image), int64(len(c.image)), nil); got != int64(c.want) {
			t.Errorf("%s: the main archive begins at %d, want %d", name, got, c.want)
		}
	}
}

func TestCopyWithout(t *testing.T) {
	t.Parallel()
	all := archive("init", "#!/bin/sh\n", "conf/ours", "COMPRESS=lz4\n", "etc/x", "y") + "\x00\x00\x00\x00"
	want := archive("init", "#!/bin/sh\n", "etc/x", "y") + "\x00\x00\x00\x00"
	var got bytes.Buffer
	if err := copyWithout(&got, strings.NewReader(all), []string{"conf/ours"}); err != nil || got.String() != want {
		t.Errorf("got %q (%v), want %q", got.String(), err, want)
	}
	if err := copyWithout(&bytes.Buffer{}, strings.NewReader(all[:200]), nil); err == nil {
		t.Error("an archive that is cut short is copied without an error")
	}
}
