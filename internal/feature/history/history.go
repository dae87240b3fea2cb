// Package history records in the image how it was made (os.imageHistory).
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// HistoryMode says whether the image records how it was made.
type HistoryMode string

// Values lists the modes.
func (HistoryMode) Values() []string { return []string{"", "none"} }

const (
	releaseFile     = "/etc/image-customizer-release"
	releaseFile2023 = "/etc/mariner-customizer-release"
	historyDir      = "/usr/share/image-customizer"
	// HistoryFile records how the image was made.
	HistoryFile = historyDir + "/history.json"
)

// Used is always true: the release file is written whatever the mode.
func (HistoryMode) Used() bool { return true }

// Touches is nothing that must be written: records are left out where they cannot.
func (HistoryMode) Touches() []feature.Touch { return nil }

// Record is nothing: that there is a history says it.
func (HistoryMode) Record() (any, error) { return nil, nil }

// Plan writes the records, but for those on filesystems that stay sealed.
func (h HistoryMode) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	stamp := g.Now.UTC().Format("2006-01-02T15:04:05Z")
	add := func(file string, s plan.Step) {
		if !g.Kept(file) {
			p = append(p, s)
		}
	}
	add(releaseFile, WriteRelease{File: releaseFile, Version: g.ToolVersion, Date: stamp, UUID: g.UUID})
	if g.Lowered {
		add(releaseFile2023, WriteRelease{File: releaseFile2023, Version: g.ToolVersion, Date: stamp})
	}
	if h != "none" {
		add(HistoryFile, WriteHistory{Describe: g.Describe, Version: g.ToolVersion, Time: g.Now.UTC(), UUID: g.UUID})
	}
	return p, nil
}

// WriteRelease records which program made the image, when, and under which identifier.
type WriteRelease struct{ File, Version, Date, UUID string }

// Name identifies the step.
func (WriteRelease) Name() string { return "record.release" }

func (s WriteRelease) String() string { return "write " + s.File }

// Run writes the file.
func (s WriteRelease) Run(_ context.Context, m *machine.Machine) error {
	text := fmt.Sprintf("TOOL_VERSION=\"%s\"\nBUILD_DATE=\"%s\"\n", s.Version, s.Date)
	if s.UUID != "" {
		text += fmt.Sprintf("IMAGE_UUID=\"%s\"\n", s.UUID)
	}
	return m.Root.WriteFile(s.File, []byte(text+"\n"), 0o644)
}

// ReleaseUUID is the identifier that an image's release file gives, or empty.
func ReleaseUUID(root *rootfs.Root) string {
	text, err := root.ReadFile(releaseFile)
	if err != nil {
		return ""
	}
	id, err := uuid.Parse(distro.ParseOSRelease(string(text))["IMAGE_UUID"])
	if err != nil {
		return ""
	}
	return id.String()
}

// WriteHistory appends to the image's record of how it was made. Passwords, keys, environment values
// and the text of inline files and scripts are left out; files are named with their hash.
type WriteHistory struct {
	Describe func() (map[string]any, error) // the config
	Version  string
	Time     time.Time
	UUID     string
}

// Name identifies the step.
func (WriteHistory) Name() string { return "record.history" }

func (WriteHistory) String() string { return "append to " + HistoryFile }

// HistoryEntry is one run in history.json; the names are those of the reference.
type HistoryEntry struct {
	Timestamp   string         `json:"timestamp"`
	ToolVersion string         `json:"toolVersion"`
	ImageUUID   string         `json:"imageUuid"`
	Config      map[string]any `json:"config"`
}

// Run appends the entry; those that are there are kept as they are.
func (s WriteHistory) Run(_ context.Context, m *machine.Machine) error {
	list := []json.RawMessage{}
	data, err := m.Root.ReadFile(HistoryFile)
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be read: %w", HistoryFile, err)
	}
	config, err := s.Describe()
	if err != nil {
		return err
	}
	entry, err := json.Marshal(HistoryEntry{s.Time.Format(time.RFC3339), s.Version, s.UUID, config})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(append(list, entry), "", " ")
	if err != nil {
		return err
	}
	if err := m.Root.MkdirAll(historyDir, 0o755); err != nil {
		return err
	}
	return m.Root.WriteFile(HistoryFile, append(text, '\n'), 0o644)
}

// Replaces is the file of the release.
func (s WriteRelease) Replaces(*machine.Machine) []plan.Replaced { return feature.Replaced("", s.File) }

// Replaces is the record.
func (WriteHistory) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("", HistoryFile)
}
