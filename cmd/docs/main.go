// Command docs writes docs/configuration.md, docs/cli.md and schema.json from the code. A test fails
// when they are stale.
package main

import (
	"fmt"
	"os"

	"imagecustomizer/internal/cli"
)

func main() {
	pages, err := cli.Pages()
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
	for name, text := range pages {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "docs:", err)
			os.Exit(1)
		}
	}
}
