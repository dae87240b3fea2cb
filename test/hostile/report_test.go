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

// noted are the runs that have been traced so far, by their kinds.
var (
	noted = map[string]touched{}
	lock  sync.Mutex
)

const heading = `# What runs touch in an image

Made by "make hostile" on %s; do not edit. Each kind of run was traced: below are the paths of the image that steps,
and programs of the host that they start, reach, whether there is anything or not, and the programs of the image that
run. Many files of one folder are shown by one of them and their number. Media are attacked at each of
their files as well.

At each path the suite plants each of: %s.

In the place of each program it puts an impostor that: %s.
`

// report writes the list of what the runs touch, as far as they have been traced.
func report(t *testing.T, want, kind string, run touched) {
	t.Helper()
	lock.Lock()
	defer lock.Unlock()
	noted[kind] = run
	file := os.Getenv("HOSTILE_REPORT")
	if file == "" || want != "all" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, heading,
		time.Now().UTC().Format("2 January 2006"), strings.Join(thingNames(), ", "), strings.Join(behaviours, ", "))
	for _, k := range kinds {
		run, ok := noted[k.Name]
		if !ok {
			continue
		}
		paths, more := bundled(run.Paths)
		fmt.Fprintf(&b, "\n## %s\n\n%d paths. Programs of the image: %s.\n\n", k.Name, len(run.Paths), list(run.Programs))
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
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
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
