package artifact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"imagecustomizer/internal/config"
)

// Config is inject-files.yaml: which files to put into an image, and where. It is as the reference has it.
type Config struct {
	InjectFiles     []Injection `yaml:"injectFiles" required:"true" doc:"The files to put into the image."`
	PreviewFeatures []Preview   `yaml:"previewFeatures" doc:"Names of preview features. Accepted for compatibility: nothing here needs one."`
}

// Injection is a file to put into an image.
type Injection struct {
	Partition   Partition   `yaml:"partition" required:"true" doc:"The partition that the file goes to."`
	Destination Destination `yaml:"destination" required:"true" doc:"Absolute path on that partition. A file that exists is replaced." example:"/EFI/BOOT/bootx64.efi"`
	Source      config.Path `yaml:"source" required:"true" doc:"The file. A relative path begins in the directory of this file, and does not leave it." example:"./shim/bootx64.efi"`
	Type        Kind        `yaml:"type" doc:"What the file is. A program must be one that this image can start; a verity-hash is a signature of the root hash."`
}

// Partition names a partition of the image.
type Partition struct {
	IDType IDType `yaml:"idType" required:"true" doc:"What id is."`
	ID     string `yaml:"id" required:"true" doc:"Label, or UUID."`
}

// IDType is a way to name a partition.
type IDType string

var tags = map[IDType]string{"uuid": "UUID", "part-uuid": "PARTUUID", "part-label": "PARTLABEL"}

// Values lists the ways.
func (IDType) Values() []string { return []string{"uuid", "part-uuid", "part-label"} }

// Name is the partition as fstab names it.
func (p Partition) Name() string { return tags[p.IDType] + "=" + p.ID }

// Validate checks the id.
func (p *Partition) Validate(at *config.At) {
	if _, err := uuid.Parse(p.ID); err != nil && p.IDType == "part-uuid" && p.ID != "" && !mbrID.MatchString(p.ID) {
		at.Field("id").Errorf("%q is no UUID of a partition", p.ID)
	}
}

// mbrID is how the kernel names a partition of an MBR.
var mbrID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{2}$`)

// Destination is an absolute path on a partition.
type Destination string

// Describe tells how the path is written.
func (Destination) Describe() config.Form {
	return config.Form{Kind: "path", Pattern: `^/[^\x00]*[^/\x00]$`, Except: `(^|/)\.{1,2}(/|$)`}
}

// Validate checks that the path names a file and cannot be read in two ways.
func (d *Destination) Validate(at *config.At) {
	s := string(*d)
	switch {
	case s == "": // a required key is missed elsewhere
	case !strings.HasPrefix(s, "/") || strings.ContainsRune(s, 0):
		at.Errorf("%q is not an absolute path on the partition", s).Hint("begin it with \"/\"")
	case path.Clean(s) == "/" || strings.HasSuffix(s, "/"):
		at.Errorf("%q names a directory", s).Hint("name the file")
	case path.Clean(s) != s:
		at.Errorf("%q is not the plain form of a path", s).Hint("write %q", path.Clean(s))
	}
}

// Validate checks that the source is there and that a relative one stays in the directory of the list.
func (i *Injection) Validate(at *config.At) {
	source := at.Field("source")
	if !filepath.IsAbs(i.Source.Text) && !filepath.IsLocal(i.Source.Text) && i.Source.Text != "" {
		source.Errorf("%q leads out of the directory of this file", i.Source.Text).Hint("write an absolute path if it is meant")
		return
	}
	i.Source.NeedFile(source)
}

// Validate checks that no file is written twice.
func (c *Config) Validate(at *config.At) {
	seen := map[string]bool{}
	for i, f := range c.InjectFiles {
		key := f.Partition.Name() + string(f.Destination)
		if seen[key] && f.Destination != "" {
			at.Field("injectFiles").Index(i).Field("destination").Errorf("%s is written twice on that partition", f.Destination)
		}
		seen[key] = true
	}
}

// Preview is the name of a feature that the reference hides behind a gate.
type Preview string

// Values lists the names.
func (Preview) Values() []string { return []string{"inject-files", "cosi-compression"} }

// plain are texts that YAML takes for themselves.
var plain = regexp.MustCompile(`^[./]?[A-Za-z0-9_./+-]*[A-Za-z_./][A-Za-z0-9_./+-]*$`)

// List is the text of inject-files.yaml for these files.
func List(files []File) []byte {
	var b bytes.Buffer
	b.WriteString("injectFiles:\n")
	for _, f := range files {
		fmt.Fprintf(&b, "- partition:\n    idType: part-uuid\n    id: %s\n  destination: %s\n  source: %s\n  type: %s\n",
			quote(f.Partition), quote(f.Destination), quote("./"+f.Source), f.Kind)
	}
	b.WriteString("previewFeatures:\n- inject-files\n")
	return b.Bytes()
}

// quote writes a text so that YAML reads the same one.
func quote(s string) string {
	if plain.MatchString(s) && !strings.HasPrefix(s, "-") {
		return s
	}
	quoted, _ := json.Marshal(s) // a text can always be
	return string(quoted)
}
