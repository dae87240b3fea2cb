//go:build root

package hostile

import (
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"
)

var lock sync.Mutex

const heading = `# What runs touch in an image

Made by "make hostile"; do not edit. Each kind of run was traced: below are the paths of the image that steps,
and programs of the host that they start, reach, whether there is anything or not, and the programs of the image that
run. Many files of one folder are shown by one of them and their number. Media are attacked at each of
their files as well. A kind of run that has no section here has not been traced yet.

At each path the suite plants each of: %s.

In the place of each program it puts an impostor that: %s.
`

// report writes what a run touches into its section of the file that HOSTILE_REPORT names. The others stay.
func report(t *testing.T, kind string, run touched) {
	t.Helper()
	file := os.Getenv("HOSTILE_REPORT")
	if file == "" {
		return
	}
	lock.Lock()
	defer lock.Unlock()
	old, _ := os.ReadFile(file)
	sections := map[string]string{}
	for _, text := range strings.Split(string(old), "\n## ")[1:] {
		name, rest, _ := strings.Cut(text, "\n")
		sections[name] = strings.TrimSpace(rest)
	}
	sections[kind] = section(run)
	text := fmt.Sprintf(heading, strings.Join(thingNames(), ", "), strings.Join(behaviours, ", "))
	for _, k := range kinds {
		if sections[k.Name] != "" {
			text += "\n## " + k.Name + "\n\n" + sections[k.Name] + "\n"
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func section(run touched) string {
	var b strings.Builder
	paths, more := bundled(run.Paths)
	fmt.Fprintf(&b, "Traced on %s: %d paths. Programs of the image: %s.\n\n", time.Now().UTC().Format("2 January 2006"), len(run.Paths), list(run.Programs))
	for _, p := range paths {
		fmt.Fprintf(&b, "- `%s`", p)
		if n := more[path.Dir(p)]; n > 1 {
			fmt.Fprintf(&b, " and %d more beside it", n-1)
		}
		b.WriteString("\n")
	}
	if run.Walks > 0 {
		fmt.Fprintf(&b, "\nBy walking: %d more, of which the suite takes %s.\n", run.Walks, list(run.Walked))
	}
	return strings.TrimSpace(b.String())
}

func thingNames() (names []string) {
	for _, w := range things {
		names = append(names, w.name)
	}
	return names
}

func list(programs []string) string {
	if len(programs) == 0 {
		return "none"
	}
	return "`" + strings.Join(programs, "`, `") + "`"
}
