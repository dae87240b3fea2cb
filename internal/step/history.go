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
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

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

func planRecord(c *Config, in Inputs) plan.Plan {
	stamp := in.Now.UTC().Format("2006-01-02T15:04:05Z")
	p := plan.Plan{WriteRelease{File: releaseFile, Version: in.ToolVersion, Date: stamp, UUID: in.UUID}}
	if c.Lowered {
		p = append(p, WriteRelease{File: releaseFile2023, Version: in.ToolVersion, Date: stamp})
	}
	if c.OS.ImageHistory != "none" {
		p = append(p, WriteHistory{Config: c, Version: in.ToolVersion, Time: in.Now.UTC(), UUID: in.UUID})
	}
	return p
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
	Config  *Config
	Version string
	Time    time.Time
	UUID    string
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
	config, err := DescribeConfig(s.Config)
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

// DescribeConfig is the config with everything left out that could be secret.
func DescribeConfig(c *Config) (map[string]any, error) {
	os := map[string]any{}
	set := func(key string, v any, present bool) {
		if present {
			os[key] = v
		}
	}
	p := c.OS.Packages
	set("packages", map[string]any{"updateExistingPackages": p.UpdateExisting, "install": p.allInstall(), "remove": p.allRemove(), "update": p.allUpdate()}, !p.empty())
	set("hostname", c.OS.Hostname, c.OS.Hostname != "")
	set("groups", describeGroups(c.OS.Groups), len(c.OS.Groups) > 0)
	set("users", describeUsers(c.OS.Users), len(c.OS.Users) > 0)
	set("services", map[string]any{"enable": c.OS.Services.Enable, "disable": c.OS.Services.Disable}, len(c.OS.Services.Enable)+len(c.OS.Services.Disable) > 0)
	set("modules", describeModules(c.OS.Modules), len(c.OS.Modules) > 0)
	set("kernelCommandLine", map[string]any{"extraCommandLine": c.OS.KernelCommandLine.Extra}, len(c.OS.KernelCommandLine.Extra) > 0)
	files, err := describeFiles(c.OS.AdditionalFiles)
	if err != nil {
		return nil, err
	}
	set("additionalFiles", files, len(files) > 0)
	dirs, err := describeDirs(c.OS.AdditionalDirs)
	if err != nil {
		return nil, err
	}
	set("additionalDirs", dirs, len(dirs) > 0)
	scripts := map[string]any{}
	for key, list := range map[string][]Script{"postCustomization": c.Scripts.PostCustomization, "finalizeCustomization": c.Scripts.FinalizeCustomization} {
		described, err := describeScripts(list)
		if err != nil {
			return nil, err
		}
		if len(described) > 0 {
			scripts[key] = described
		}
	}
	described := map[string]any{"os": os, "scripts": scripts}
	if bases := describeBases(c.layers()); len(bases) > 0 {
		described["baseConfigs"] = bases
	}
	return described, nil
}

// describeBases names the files that the config builds on.
func describeBases(layers []*Config) (list []any) {
	for _, l := range layers[:len(layers)-1] {
		list = append(list, map[string]any{"path": l.Layer.File, "sha256hash": l.Layer.Hash})
	}
	return list
}

func describeGroups(groups []Group) (list []any) {
	for _, g := range groups {
		list = append(list, map[string]any{"name": g.Name, "gid": g.GID})
	}
	return list
}

func describeUsers(users []User) (list []any) {
	for _, u := range users {
		d := map[string]any{"name": u.Name}
		if u.UID != nil {
			d["uid"] = *u.UID
		}
		if u.Password != nil {
			d["password"] = map[string]any{"type": u.Password.Type}
		}
		if n := len(u.SSHPublicKeys) + len(u.SSHPublicKeyPaths); n > 0 {
			d["sshPublicKeys"] = slices.Repeat([]string{"[redacted]"}, n)
		}
		if u.PrimaryGroup != "" {
			d["primaryGroup"] = u.PrimaryGroup
		}
		if len(u.SecondaryGroups) > 0 {
			d["secondaryGroups"] = u.SecondaryGroups
		}
		list = append(list, d)
	}
	return list
}

func describeModules(modules []Module) (list []any) {
	for _, m := range modules {
		list = append(list, map[string]any{"name": m.Name, "loadMode": m.LoadMode, "options": m.Options})
	}
	return list
}

func describeFiles(files []AdditionalFile) (list []any, err error) {
	for _, f := range files {
		d := map[string]any{"destination": f.Destination}
		if f.Content != nil {
			d["sha256hash"] = hashText(*f.Content)
		} else if d["sha256hash"], err = hashFile(f.Source.Resolved); err != nil {
			return nil, err
		} else {
			d["source"] = f.Source.Text
		}
		list = append(list, d)
	}
	return list, nil
}

func describeDirs(dirs []AdditionalDir) (list []any, err error) {
	for _, dir := range dirs {
		hashes := map[string]string{}
		err := hostfs.Walk(dir.Source.Resolved, func(name string, isDir bool) error {
			if isDir {
				return nil
			}
			rel, err := filepath.Rel(dir.Source.Resolved, name)
			if err == nil {
				hashes[rel], err = hashFile(name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		list = append(list, map[string]any{"source": dir.Source.Text, "destination": dir.Destination, "sha256hashmap": hashes})
	}
	return list, nil
}

func describeScripts(scripts []Script) (list []any, err error) {
	for _, s := range scripts {
		d := map[string]any{}
		if s.Label != "" {
			d["name"] = s.Label
		}
		if s.Path.Text == "" {
			d["sha256hash"] = hashText(s.Content)
		} else if d["sha256hash"], err = hashFile(s.Path.Resolved); err != nil {
			return nil, err
		} else {
			d["path"] = s.Path.Text
		}
		if names := slices.Sorted(maps.Keys(s.EnvironmentVariables)); len(names) > 0 {
			d["environmentVariables"] = names // values may be secret
		}
		list = append(list, d)
	}
	return list, nil
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
