package disk

import (
	"maps"
	"slices"
)

// typeGUIDs are the partition types that have a name here (UEFI specification, Discoverable
// Partitions Specification); those of a machine's own system are by architecture.
var typeGUIDs = map[string]map[string]string{
	"esp":           {"": TypeESP},
	"bios-grub":     {"": TypeBIOSBoot},
	"linux-generic": {"": "0fc63daf-8483-4772-8e79-3d69d8477de4"},
	"root":          {"x86_64": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "aarch64": "b921b045-1df0-41c3-af44-4c6f280d3fae"},
	"root-verity":   {"x86_64": "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "aarch64": "df3300ce-d69f-4c92-978c-9bfb0f38d820"},
	"usr":           {"x86_64": "8484680c-9521-48c6-9c11-b0720656f69e", "aarch64": "b0e01050-ee5f-4390-949a-9101b17104e9"},
	"usr-verity":    {"x86_64": "77ff5f63-e7b6-4633-acf4-1565b864c0e6", "aarch64": "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"},
	"home":          {"": "933ac7e1-2eb4-4f13-b844-0e14e2aef915"},
	"srv":           {"": "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"},
	"var":           {"": "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
	"tmp":           {"": "7ec6f557-3bc5-4aca-b293-16ef5df639d1"},
	"swap":          {"": TypeSwap},
	"xbootldr":      {"": "bc13c2ff-59e6-4262-a352-b275fd6f7172"},
}

// TypeSwap is the GPT type of a swap partition.
const TypeSwap = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"

// TypeNames lists the names of partition types.
func TypeNames() []string { return slices.Sorted(maps.Keys(typeGUIDs)) }

// TypeGUID is the GUID of a named partition type on an architecture, as uname -m says it; empty
// where there is none.
func TypeGUID(name, arch string) string {
	if g := typeGUIDs[name][""]; g != "" {
		return g
	}
	return typeGUIDs[name][arch]
}
