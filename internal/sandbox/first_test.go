package sandbox

import (
	"os"
	"strings"
	"testing"
)

// TestProcess1HasShedAllBeforeTheProgramStarts reads the code, since no program is quick enough to see it otherwise.
func TestProcess1HasShedAllBeforeTheProgramStarts(t *testing.T) {
	text, err := os.ReadFile("first.go")
	if err != nil {
		t.Fatal(err)
	}
	shed, start := strings.Index(string(text), "\t\tharden()"), strings.Index(string(text), "syscall.ForkExec(")
	if shed < 0 || start < 0 || shed > start {
		t.Error("process 1 sheds its capabilities after it has started the program")
	}
}
