package artifact

import (
	"strings"
	"testing"

	"imagecustomizer/internal/config"
)

// read decodes a list; what is wrong with it is in the report.
func read(t *testing.T, text string) (Config, *config.Report) {
	t.Helper()
	doc, report := config.Parse("inject-files.yaml", []byte(text))
	var c Config
	doc.Decode(&c, config.Options{})
	return c, report
}

func TestListIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	files := []File{
		{Kind: Shim, Partition: "f475ff22-65ba-5f49-89ff-e518760ecae5", Destination: "/EFI/BOOT/bootx64.efi", Source: "shim/bootx64.efi"},
		{Kind: UKIs, Partition: "1234e567-01", Destination: "/EFI/Linux/a b: #c.efi", Source: "ukis/a b: #c.efi"},
		{Kind: VerityHash, Partition: "F475FF22-65BA-5F49-89FF-E518760ECAE5", Destination: "/root.hash", Source: "verity-hash/root.hash"},
	}
	c, report := read(t, string(List(files)))
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	if len(c.InjectFiles) != len(files) {
		t.Fatalf("got %d files", len(c.InjectFiles))
	}
	for i, f := range c.InjectFiles {
		want := files[i]
		if f.Partition.Name() != "PARTUUID="+want.Partition || string(f.Destination) != want.Destination || f.Source.Text != "./"+want.Source || f.Type != want.Kind {
			t.Errorf("got %+v, want %+v", f, want)
		}
	}
}

// The example of the reference's documentation, and what its generator writes: an indent of four.
const ofReference = `injectFiles:
    - partition:
        idType: part-uuid
        id: b9f59ced-d1a6-44a7-91d9-4d623a39b032
      destination: /EFI/Linux/vmlinuz-6.6.51.1-5.azl3.efi
      source: ./ukis/vmlinuz-6.6.51.1-5.azl3.efi
      type: ukis
    - partition:
        idType: part-label
        id: boot
      destination: /root.hash
      source: /somewhere/else/root.hash
previewFeatures:
    - inject-files
    - cosi-compression
`

func TestListOfTheReference(t *testing.T) {
	t.Parallel()
	c, report := read(t, ofReference)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	if len(c.InjectFiles) != 2 || c.InjectFiles[1].Partition.Name() != "PARTLABEL=boot" {
		t.Errorf("got %+v", c)
	}
}

func TestBadLists(t *testing.T) {
	t.Parallel()
	good := func(change ...string) string { return strings.NewReplacer(change...).Replace(ofReference) }
	for name, x := range map[string]struct{ text, want string }{
		"nothing":              {"injectFiles: []\n", "injectFiles has no value"},
		"no list":              {"previewFeatures: [inject-files]\n", "injectFiles"},
		"relative destination": {good("/EFI/Linux/", "EFI/Linux/"), "is not an absolute path"},
		"climbing destination": {good("/EFI/Linux/", "/EFI/../../"), "is not the plain form of a path"},
		"directory":            {good("/root.hash\n      source", "/\n      source"), "names a directory"},
		"climbing source":      {good("./ukis/", "./ukis/../../"), "leads out of the directory"},
		"no UUID":              {good("b9f59ced-d1a6", "b9f59ced"), "is no UUID of a partition"},
		"kind of id":           {good("part-label", "partlabel"), "part-label"},
		"type":                 {good("type: ukis", "type: uki"), "ukis"},
		"twice": {good("part-label", "part-uuid", "id: boot", "id: b9f59ced-d1a6-44a7-91d9-4d623a39b032", "/root.hash\n      source", "/EFI/Linux/vmlinuz-6.6.51.1-5.azl3.efi\n      source"),
			"is written twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, report := read(t, x.text)
			if err := report.Err(); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
		})
	}
}
