// Mutants breaks one rule after the other, as list.txt says, and runs the tests that hold it: each must fail. A line of
// the list is PACKAGE, FILE, what stands there once, and what is put in its place, separated by tabs.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	survivors, err := run(os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	case survivors > 0:
		fmt.Printf("%d mutants survive\n", survivors)
		os.Exit(1)
	}
}

// run tries the mutants whose lines hold one of the words, or all.
func run(words []string) (survivors int, err error) {
	list, err := os.ReadFile("test/mutants/list.txt")
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	for line := range strings.Lines(string(list)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") || !wanted(line, words) {
			continue
		}
		if len(f) != 4 {
			return survivors, fmt.Errorf("%q has %d parts, want 4", line, len(f))
		}
		alive, err := survives(dir, f[0], f[1], f[2], f[3])
		if err != nil {
			return survivors, err
		}
		if alive {
			survivors++
			fmt.Printf("SURVIVES %s: %s => %s\n", f[1], f[2], f[3])
		} else {
			fmt.Printf("killed   %s: %s => %s\n", f[1], f[2], f[3])
		}
	}
	return survivors, nil
}

func wanted(line string, words []string) bool {
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	return len(words) == 0
}

// survives tells whether the tests of a package pass with one text of a file replaced.
func survives(dir, pkg, file, old, mutant string) (bool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	if n := strings.Count(string(text), old); n != 1 {
		return false, fmt.Errorf("%s: %q stands there %d times, want once", file, old, n)
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return false, err
	}
	changed, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{full: changed}})
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), old, mutant, 1)), 0o600); err != nil {
		return false, err
	}
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		return false, err
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, pkg).CombinedOutput(); err != nil {
		return false, fmt.Errorf("%s with %q is no program: %s", file, mutant, out)
	}
	return exec.Command("go", "test", "-overlay", overlay, pkg).Run() == nil, nil
}
