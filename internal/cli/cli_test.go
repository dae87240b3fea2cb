package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/docgen"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/step"
)

const repository = "../.."

func TestGeneratedPagesAreFresh(t *testing.T) {
	t.Parallel()
	pages, err := Pages()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v); run: make generate", name, err)
		}
	}
}

func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	for _, r := range []reflect.Type{step.Root, reflect.TypeFor[legacy.Config]()} {
		if paths := docgen.Undocumented(r); len(paths) > 0 {
			t.Errorf("no description: %s", strings.Join(paths, ", "))
		}
	}
	type bare struct {
		X string `yaml:"x"`
	}
	if len(docgen.Undocumented(reflect.TypeFor[bare]())) != 1 {
		t.Error("a field without description is not found")
	}
}

// TestExamplesInDocumentsAreValid decodes every YAML example of every document, and checks it
// against the schema for editors.
func TestExamplesInDocumentsAreValid(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	docs, _ := filepath.Glob(repository + "/docs/*.md")
	decisions, _ := filepath.Glob(repository + "/docs/*/*.md")
	count := 0
	for _, d := range append(append(docs, decisions...), repository+"/README.md", repository+"/CONTRIBUTING.md") {
		text, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range docgen.Examples(string(text)) {
			count++
			doc, _ := config.Parse(d, []byte(e))
			files := &compose.Files{Sealed: true, Dir: "/", List: []compose.File{{Path: "/top.yaml", Real: "/top.yaml", Text: []byte(e)}}}
			for _, name := range regexp.MustCompile(`[\w/.-]+\.yaml`).FindAllString(strings.ReplaceAll(e, "${{ role }}", "web"), -1) {
				path := filepath.Join("/", name)
				files.List = append(files.List, compose.File{Path: path, Real: path, Text: []byte("os: {packages: {install: [nano]}}")})
			}
			_, _, report, err := compose.LoadAll("/top.yaml", files, compose.Options{})
			if err == nil {
				err = report.Err()
			}
			if err != nil {
				t.Errorf("example of %s:\n%s\n%v", d, e, err)
			}
			if err := schema.Validate(doc.Plain()); err != nil {
				t.Errorf("example of %s against schema.json:\n%s\n%v", d, e, err)
			}
		}
	}
	if count < 4 {
		t.Errorf("found only %d examples", count)
	}
}

// relativeLink is a link of Markdown to a file of the repository.
var relativeLink = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinksLeadToFiles follows the links of all documents.
func TestLinksLeadToFiles(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"/*.md", "/docs/*.md", "/docs/*/*.md"} {
		found, _ := filepath.Glob(repository + pattern)
		pages = append(pages, found...)
	}
	links := 0
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range relativeLink.FindAllStringSubmatch(string(text), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", p, m[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("found only %d links", links)
	}
}

// TestExampleFilesStandInTheGuide holds that what a page of the guide shows is the file it names, and that no
// file is shown nowhere.
func TestExampleFilesStandInTheGuide(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(repository + "/examples/*.yaml")
	pages, _ := filepath.Glob(repository + "/docs/guide/*.md")
	var guide strings.Builder
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		guide.Write(text)
	}
	if len(files) < 4 {
		t.Fatalf("found only %d examples", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(guide.String(), "```yaml\n"+string(text)+"```") {
			t.Errorf("no page of the guide shows %s as it is", f)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(repository + "/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var data any
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", data); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaRefusesUnknownKeys(t *testing.T) {
	t.Parallel()
	doc, _ := config.Parse("x.yaml", []byte("os: {hostnam: x}"))
	if compileSchema(t).Validate(doc.Plain()) == nil {
		t.Error("an unknown key passes")
	}
}

// runCLI runs the command line and returns exit status, standard output and standard error.
func runCLI(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	errs, err := os.CreateTemp(t.TempDir(), "err")
	if err != nil {
		t.Fatal(err)
	}
	status = Run(t.Context(), args, out, errs)
	a, _ := os.ReadFile(out.Name())
	b, _ := os.ReadFile(errs.Name())
	return status, string(a), string(b)
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestHelpAndVersion(t *testing.T) {
	status, out, _ := runCLI(t, "--help")
	if status != failure.OK || !strings.Contains(out, "130: interrupted") || !strings.Contains(out, "validate-config") {
		t.Errorf("exit %d:\n%s", status, out)
	}
	if status, out, _ := runCLI(t, "--version"); status != failure.OK || !strings.HasPrefix(out, "imagecustomizer ") {
		t.Errorf("exit %d: %s", status, out)
	}
}

func TestUsageErrors(t *testing.T) {
	good := write(t, "os:\n  hostname: a\n")
	image := write(t, strings.Repeat("x", 4096))
	dir := t.TempDir()
	older := write(t, "older")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":          {[]string{"--nonsense"}, "unknown flag --nonsense"},
		"missing flags":         {nil, "missing flags"},
		"no output":             {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image}, "no output"},
		"no format":             {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output-image-file", dir + "/x"}, "cannot tell the output format"},
		"no file":               {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output-image-format", "raw"}, "has no file"},
		"unknown format":        {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "vhdxx=" + dir + "/x"}, "vhdx"},
		"no image":              {[]string{"--build-dir", dir, "--config-file", good, "--output", "raw=" + dir + "/x"}, "no base image"},
		"image is missing":      {[]string{"--build-dir", dir, "--config-file", good, "--image-file", dir + "/none", "--output", "raw=" + dir + "/x"}, "no such file"},
		"output is a directory": {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + dir}, "is a directory"},
		"output is input":       {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + image}, "is the base image"},
		"same output twice":     {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + dir + "/x", "--output", "qcow2=" + dir + "/x"}, "same path"},
		"bad --output":          {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw"}, "FORMAT=PATH"},
		"bad source":            {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + dir + "/x", "--rpm-source", image}, "neither a folder"},
		"kept output":           {[]string{"--build-dir", dir, "--config-file", good, "--image-file", image, "--no-clobber", "--output", "raw=" + older}, "--no-clobber keeps it"},
		"log is the base":       {[]string{"--log-file", image, "--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + dir + "/x"}, "something else"},
		"log is an output":      {[]string{"--log-file", older, "--build-dir", dir, "--config-file", good, "--image-file", image, "--output", "raw=" + older}, "something else"},
		"convert to nothing":    {[]string{"convert", "--image-file", image}, "no output"},
		"two configs":           {[]string{"--build-dir", dir, "--config-file", good, "--config-file", good, "--image-file", image, "--output", "raw=" + dir + "/x"}, "given twice"},
		"two configs to check":  {[]string{"validate-config", "--config-file=" + good, "--config-file", good}, "given twice"},
		"no memory":             {[]string{"boot", image, "--memory", "0"}, "--memory 0"},
		"no processors":         {[]string{"boot", image, "--cpus", "0"}, "--cpus 0"},
	} {
		status, _, stderr := runCLI(t, c.args...)
		if status != failure.Usage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", name, status, failure.Usage, c.want, stderr)
		}
	}
}

func TestValidateConfig(t *testing.T) {
	status, out, _ := runCLI(t, "validate-config", "--config-file", write(t, "os:\n  hostname: a\n"))
	if status != failure.OK || !strings.Contains(out, "is valid") {
		t.Errorf("exit %d: %s", status, out)
	}
	status, _, stderr := runCLI(t, "validate-config", "--config-file", write(t, "os:\n  hostname: a_b\n  additionalFiles:\n  - {source: none, destination: /x}\n"))
	if status != failure.Config || !strings.Contains(stderr, ":2:13: error: hostname:") || strings.Contains(stderr, "cannot read none") {
		t.Errorf("exit %d: %s", status, stderr)
	}
	status, _, stderr = runCLI(t, "validate-config", "--validate-resources", "files", "--config-file", write(t, "os:\n  additionalFiles:\n  - {source: none, destination: /x}\n"))
	if status != failure.Config || !strings.Contains(stderr, "cannot read none") {
		t.Errorf("exit %d: %s", status, stderr)
	}
}

// manyMistakes has a mistake of its own kind in each of nine places.
const manyMistakes = `os:
  hostnam: web
  packages:
    install: [--evil]
  groups:
  - {name: g, gid: 70000}
  users:
  - name: alice
    password: {type: plain, value: "correct horse"}
  - name: alice
  additionalFiles:
  - {destination: relative, content: text, permissions: "644"}
  modules:
  - {name: nbd, loadMode: disable, options: {nbds_max: "3"}}
output:
  image: {format: vhdxx, path: out}
pxe: {initramfsType: full-os, bootstrapBaseUrl: "http://a"}
`

// TestAllMistakesAtOnce wants every mistake of a config with its place, its underlined line and a
// hint, and within a second.
func TestAllMistakesAtOnce(t *testing.T) {
	start := time.Now()
	status, _, stderr := runCLI(t, "validate-config", "--config-file", write(t, manyMistakes))
	if took := time.Since(start); status != failure.Config || took > time.Second {
		t.Errorf("exit %d after %v", status, took)
	}
	for place, want := range map[string][]string{
		":2:3: ":   {`unknown key "hostnam"`, `did you mean "hostname"?`},
		":4:15: ":  {`"--evil" is not the name of a package`, "jq"},
		":6:20: ":  {"gid: 70000 is out of range", "0 to 60000"},
		":9:22: ":  {`"plain" is not allowed`, "allowed: locked, plain-text"},
		":10:11: ": {"alice is in this list twice", "merge"},
		":12:19: ": {`"relative" is not an absolute path`, `begin it with "/"`},
		":14:36: ": {"a disabled module has no options", "remove options"},
		":16:19: ": {`"vhdxx" is not allowed`, `did you mean "vhdx"?`},
		":17:49: ": {"a full-os initramfs downloads nothing", "initramfsType: bootstrap"},
	} {
		_, problem, found := strings.Cut(stderr, place)
		lines := append(strings.SplitN(problem, "\n", 5), "", "", "", "")
		if !found || !strings.Contains(lines[0], want[0]) || !strings.Contains(lines[2], "^") || !strings.Contains(lines[3], want[1]) {
			t.Errorf("%s misses %q:\n%s", place, want, stderr)
		}
	}
	if n := strings.Count(stderr, "error: "); n != 9 {
		t.Errorf("%d problems:\n%s", n, stderr)
	}
}

func TestProgressAsJSON(t *testing.T) {
	status, _, stderr := runCLI(t, "--progress", "json", "validate-config", "--config-file", write(t, "os: {x: 1}\n"))
	if status != failure.Config {
		t.Errorf("exit %d", status)
	}
	for line := range strings.Lines(stderr) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Errorf("not JSON: %q", line)
		}
	}
}

// TestPlacesOfMistakes: what is never closed is shown where it is opened, a list by the path it is written with, and
// what only follows from another mistake not at all.
func TestPlacesOfMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"os:\n  hostname: \"abc\n  x: y\n":                    {":2:13: error: a quote is not closed"},
		"os:\n  hostname: 'abc\n":                             {":2:13: error: a quote is not closed"},
		"os:\n  packages: {install: [a, b\n":                  {":2:23: error: a [ is not closed"},
		"os:\n  packages: {install: [a]\n":                    {":2:13: error: a { is not closed"},
		"os:\n  packages:\n    installLists: [l/none.yaml]\n": {":3:20: error: cannot read l/none.yaml:"},
		"storage:\n  bootType: efi\n  disks:\n  - partitionTableType: gpt\n    maxSize: 3Q\n    partitions:\n    - {id: esp, type: esp, size: 8M}\n    - {id: root, size: 2X}\n" +
			"  filesystems:\n  - {deviceId: esp, type: vfat, mountPoint: /boot/efi}\n  - {deviceId: root, type: ext4, mountPoint: /}\nos: {bootloader: {resetType: hard-reset}}\n": {
			`:5:14: error: maxSize: "3Q" is not a size`, `:8:24: error: size: "2X" is not a size`,
		},
	} {
		_, _, stderr := runCLI(t, "validate-config", "--validate-resources", "files", "--config-file", write(t, text))
		for _, w := range want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%q lacks %q:\n%s", text, w, stderr)
			}
		}
		if n := strings.Count(stderr, " error: "); n != len(want) {
			t.Errorf("%q has %d errors, not %d:\n%s", text, n, len(want), stderr)
		}
	}
}
