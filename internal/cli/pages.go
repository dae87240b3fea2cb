package cli

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/docgen"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/step"
)

const generated = "<!-- Made from the code by \"make generate\"; do not edit. -->\n\n"

// Pages makes the generated documents, by their path in the repository.
func Pages() (map[string][]byte, error) {
	var schema bytes.Buffer
	if err := docgen.Schema(&schema, "urn:imagecustomizer:config", "imagecustomizer config",
		docgen.Root{Type: reflect.TypeFor[legacy.Config](), Told: legacy.TopKeys},
		docgen.Root{Type: step.Root, Unsupported: step.Unsupported, Told: compose.Keys, Parts: reflect.TypeFor[compose.Reference]()},
		docgen.Root{Type: step.Root, Unsupported: step.Unsupported}); err != nil {
		return nil, err
	}
	cliPage, err := commandPage()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"schema.json": schema.Bytes(), "docs/cli.md": cliPage, "docs/configuration.md": configPage(), "docs/generalize.md": append(generalizePage(), '\n')}, nil
}

func commandPage() ([]byte, error) {
	parser, err := Parser()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(generated + `# Command line

` + "```bash" + `
imagecustomizer [customize] [--build-dir DIR] --config-file FILE --image-file FILE \
  --output-image-file FILE --output-image-format FORMAT
` + "```" + `

With no command named, customize runs. Flags are written ` + "`--flag value` or `--flag=value`" + `. What a flag
says wins over what the config says.

`)
	docgen.CLI(&b, parser)
	b.WriteString("## Exit status\n\n| Status | Meaning |\n|---|---|\n")
	for _, e := range failure.Codes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	b.WriteString(progressText)
	return b.Bytes(), nil
}

const progressText = `
## Progress for machines

With ` + "`--progress json`" + ` every event is a line of JSON on standard error: ` + "`time`, `kind` (start, progress, done, fail,\nmessage), `stage` (input, disk, system, boot, seal, check, output), `step`, `title`, `elapsed` (seconds), `done` and `total` (bytes)" + `. Log records and the failure are events too.
`

func configPage() []byte {
	var b bytes.Buffer
	b.WriteString(generated + configIntro + "| | What | Why there |\n|---|---|---|\n")
	for i, p := range step.Order() {
		what := p.What
		if !strings.Contains(what, " ") {
			what = "`" + what + "`"
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", i+1, what, p.Why)
	}
	b.WriteString(keysIntro)
	docgen.Configuration(&b, step.Root)
	b.WriteString(chainIntro)
	for _, r := range compose.ChainRules() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(r.Paths, "`, `"), r.Rule)
	}
	b.WriteString("\n" + legacyIntro)
	docgen.Configuration(&b, reflect.TypeFor[legacy.Config]())
	b.WriteString("## Not supported yet\n\nThese parts of the reference schema are refused, with their place in the file.\n\n| Key | Instead |\n|---|---|\n")
	for _, k := range slices.Sorted(maps.Keys(step.Unsupported)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k, step.Unsupported[k])
	}
	b.WriteString("\n## Distributions\n\n| Distribution | How it is tested |\n|---|---|\n")
	for _, d := range distro.All() {
		fmt.Fprintf(&b, "| %s | %s |\n", d.Name, d.Tested)
	}
	b.WriteString("\nAn image of another distribution, or release, is customized with a warning. What it has counts: its package\nmanager, and how its boot loader is set up, must be as in one of those above, or what needs them is refused.\n")
	return b.Bytes()
}

const configIntro = `# Configuration

A config is one YAML document; JSON is YAML too. Unknown keys are errors. Relative paths are relative to the
config file's folder. Everything is checked before an image is touched, and all problems are shown at once.

There are two schemas, told apart by their top-level keys: today's, described first, and that of 2023
(` + "`SystemConfig`" + `), described [below](#the-schema-of-2023). A config uses one of them.

` + "```yaml" + `
os:
  hostname: web-1
  packages:
    install:
    - jq
  users:
  - name: alice
    sshPublicKeys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2cS4zqfmxr4pHxyGmQvFYFzSyRn0MtsUvZb9wQ1xQx alice
    secondaryGroups:
    - sudo
  additionalFiles:
  - destination: /etc/motd
    content: |
      Welcome.
  services:
    enable:
    - systemd-networkd
  kernelCommandLine:
    extraCommandLine:
    - quiet
scripts:
  postCustomization:
  - content: echo done > /etc/stamp
` + "```" + `

## Order of a run

A run does these things one after the other; of the sections, those that the config has.

`

const keysIntro = `
Then the filesystems are trimmed, unmounted and checked, and the outputs written.

## Keys

`

const chainIntro = `## Fields in base configs

What several files of a chain of [base configs](composition.md#base-configs) make of each field, or of all fields of a section:

| Fields | What they come to |
|---|---|
`

const legacyIntro = `## The schema of 2023

` + "```yaml" + `
SystemConfig:
  Hostname: web-1
  PackagesInstall:
  - dnf
  Services:
    Enable:
    - Name: sshd
` + "```" + `

The meaning of each key is that of the named key of today's schema.

`
