package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/hostfs"
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
	historyFile     = historyDir + "/history.json"
)

// Used is always true: the release file is written whatever the mode.
func (HistoryMode) Used() bool { return true }

// Touches is nothing that must be written: records are left out where they cannot.
func (HistoryMode) Touches() []Touch { return nil }

// Record is nothing: that there is a history says it.
func (HistoryMode) Record() (any, error) { return nil, nil }

// Plan writes the records, but for those on filesystems that stay sealed.
func (h HistoryMode) Plan(g *Given) (p plan.Plan, _ []plan.Problem) {
	stamp := g.Now.UTC().Format("2006-01-02T15:04:05Z")
	add := func(file string, s plan.Step) {
		if !g.kept(file) {
			p = append(p, s)
		}
	}
	add(releaseFile, WriteRelease{File: releaseFile, Version: g.ToolVersion, Date: stamp, UUID: g.UUID})
	if g.Lowered {
		add(releaseFile2023, WriteRelease{File: releaseFile2023, Version: g.ToolVersion, Date: stamp})
	}
	if h != "none" {
		add(historyFile, WriteHistory{Describe: g.Describe, Version: g.ToolVersion, Time: g.Now.UTC(), UUID: g.UUID})
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

func (WriteHistory) String() string { return "append to " + historyFile }

// historyEntry is one run in history.json; the names are those of the reference.
type historyEntry struct {
	Timestamp   string         `json:"timestamp"`
	ToolVersion string         `json:"toolVersion"`
	ImageUUID   string         `json:"imageUuid"`
	Config      map[string]any `json:"config"`
}

// Run appends the entry; those that are there are kept as they are.
func (s WriteHistory) Run(_ context.Context, m *machine.Machine) error {
	list := []json.RawMessage{}
	data, err := m.Root.ReadFile(historyFile)
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be read: %w", historyFile, err)
	}
	config, err := s.Describe()
	if err != nil {
		return err
	}
	entry, err := json.Marshal(historyEntry{s.Time.Format(time.RFC3339), s.Version, s.UUID, config})
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
	return m.Root.WriteFile(historyFile, append(text, '\n'), 0o644)
}

// recordIf is a record, where a section is used.
func recordIf(used bool, v any) (any, error) {
	if !used {
		return nil, nil
	}
	return v, nil
}

// recordEach lists a record for every item.
func recordEach[T any](items []T, record func(T) (map[string]any, error)) (any, error) {
	var list []any
	for _, i := range items {
		r, err := record(i)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return recordIf(len(list) > 0, list)
}

// recordText records the hash of a text, and under key the file that it is read from, if it is not in the config.
func recordText(d map[string]any, key string, file config.Path, text *string) (err error) {
	if file.Text == "" {
		d["sha256hash"] = hashText(*text)
		return nil
	}
	d[key] = file.Text
	d["sha256hash"], err = hashFile(file.Resolved)
	return err
}

// hashTree hashes the files below a directory of the build host.
func hashTree(dir string) (map[string]string, error) {
	hashes := map[string]string{}
	return hashes, hostfs.Walk(dir, func(name string, isDir bool) error {
		if isDir {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err == nil {
			hashes[rel], err = hashFile(name)
		}
		return err
	})
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hashFile(name string) (string, error) {
	f, _, err := hostfs.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
