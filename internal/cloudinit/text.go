// Package cloudinit knows what cloud-init takes: the texts that it reads are checked before they are in an image, where
// it would leave them out without a word.
package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Mistake is what is wrong with a text, at a line of it.
type Mistake struct {
	Line int // from 1
	Text string
	Hint string
}

// Kind is what a text is for.
type Kind string

// The texts of a seed, by the names of their files, and files of settings.
const (
	UserData      Kind = "user-data"
	VendorData    Kind = "vendor-data"
	MetaData      Kind = "meta-data"
	NetworkConfig Kind = "network-config"
	Settings      Kind = "settings"
)

// cloudConfig is the first line of most texts.
const cloudConfig = "#cloud-config"

// headers are first lines by which cloud-init knows what a text is; it leaves out a text with any other.
var headers = []string{
	cloudConfig, "#cloud-config-archive", "#cloud-config-jsonp", "#cloud-boothook", "#include", "#include-once", "#part-handler", "## template: jinja",
}

// IsCloudConfig tells whether a text is what cloud-init has a schema for.
func IsCloudConfig(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(first, " \t\r") == cloudConfig
}

// Check finds what is wrong with a text.
func Check(k Kind, text string) []Mistake {
	switch {
	case strings.HasPrefix(text, "\ufeff"):
		return []Mistake{{1, "it begins with a byte order mark, by which cloud-init does not know it", "save it without"}}
	case strings.TrimSpace(text) == "":
		return []Mistake{{1, "it is empty", "leave it out"}}
	case k == UserData || k == VendorData:
		if mistake := header(text); mistake != nil {
			return []Mistake{*mistake}
		}
		if !IsCloudConfig(text) {
			return nil
		}
	}
	node, mistakes := parse(text)
	if len(mistakes) > 0 || node == nil {
		return mistakes
	}
	if node.Kind != yaml.MappingNode {
		return []Mistake{{max(1, node.Line), "it is no mapping of keys to values, which cloud-init would leave out", "write \"key: value\" lines"}}
	}
	if k == NetworkConfig {
		return network(node)
	}
	return nil
}

// header finds a first line that cloud-init does not know.
func header(text string) *Mistake {
	first, _, _ := strings.Cut(text, "\n")
	plain := strings.ToLower(strings.TrimRight(first, " \t\r"))
	for _, h := range headers {
		if plain == h || strings.HasPrefix(h, "#include") && strings.HasPrefix(plain, h) {
			if strings.HasPrefix(first, h) || h == "## template: jinja" {
				return nil
			}
		}
	}
	if strings.HasPrefix(first, "#!") || strings.HasPrefix(plain, "content-type:") || strings.HasPrefix(plain, "mime-version:") || strings.HasPrefix(text, "\x1f\x8b") {
		return nil
	}
	m := &Mistake{1, fmt.Sprintf("cloud-init does not know what it is by its first line, %q, and would leave it out", shorten(first)), "begin it with \"#cloud-config\", or with \"#!/bin/sh\" where it is a script"}
	if spaced.MatchString(plain) {
		m.Hint = "write the first line as \"#cloud-config\""
	}
	return m
}

// spaced are ways in which people write the first line.
var spaced = regexp.MustCompile(`^#*\s*cloud[-_ ]?config:?$`)

func shorten(line string) string {
	if r := []rune(line); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return line
}

// parse reads one YAML document; keys that are there twice are mistakes.
func parse(text string) (*yaml.Node, []Mistake) {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(text)), yaml.WithV4Defaults())
	if err != nil {
		return nil, []Mistake{{1, err.Error(), ""}}
	}
	var root yaml.Node
	switch err := loader.Load(&root); {
	case errors.Is(err, io.EOF):
		return nil, []Mistake{{1, "it holds nothing but comments", "leave it out"}}
	case err != nil:
		return nil, []Mistake{syntax(err)}
	}
	node := &root
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	return node, doubles(node)
}

func syntax(err error) Mistake {
	e, is := errors.AsType[*yaml.LoadError](err)
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok && len(many.Errors) > 0 {
		e, is = many.Errors[0], true
	}
	if !is {
		return Mistake{1, err.Error(), ""}
	}
	line := e.Mark.Line
	if e.ContextMark.Line > 0 && strings.HasPrefix(e.ContextMsg, "while") && strings.Contains(e.ContextMsg, "flow") {
		line = e.ContextMark.Line // where it is opened: the end of the text says nothing
	}
	return Mistake{max(1, line), "it is not YAML: " + e.Message, "YAML is indented with blanks; what begins with one of @ ` % { [ needs quotes"}
}

func doubles(n *yaml.Node) (mistakes []Mistake) {
	seen := map[string]int{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if first := seen[c.Value]; first > 0 && c.Value != "<<" {
				mistakes = append(mistakes, Mistake{c.Line, fmt.Sprintf("the key %q is there twice, first in line %d", c.Value, first), "remove one of them"})
			}
			seen[c.Value] = c.Line
		}
		mistakes = append(mistakes, doubles(c)...)
	}
	return mistakes
}

// Keys of version 2 of network-config, as cloud-init and netplan have them: of all, and of a device of any kind.
var (
	networkKeys = strings.Fields("version renderer ethernets bonds bridges vlans wifis modems tunnels vrfs openvswitch dummy-devices")
	deviceKeys  = strings.Fields(`accept-ra access-points activation-mode addresses auth bond-interface bridge-interfaces critical dhcp-identifier dhcp4
		dhcp4-overrides dhcp6 dhcp6-overrides emit-lldp gateway4 gateway6 generic-receive-offload id ignore-carrier infiniband-mode interfaces
		ipv6-address-generation ipv6-address-token ipv6-mtu ipv6-privacy key keys link link-local local macaddress match mode mtu nameservers
		networkmanager openvswitch optional optional-addresses parameters peers port ports receive-checksum-offload regulatory-domain remote renderer
		routes routing-policy set-name table ttl type virtual-function-count wakeonlan wakeonwlan`)
)

// network checks what a network-config says of its version and, in version 2, its keys.
func network(n *yaml.Node) []Mistake {
	if inner := value(n, "network"); inner != nil && len(n.Content) == 2 {
		n = inner
	}
	v := value(n, "version")
	switch {
	case v == nil:
		return []Mistake{{max(1, n.Line), "it has no version", "add \"version: 2\""}}
	case v.Value == "1":
		if value(n, "config") == nil {
			return []Mistake{{v.Line, "version 1 has its devices in \"config\", which is missing", "add it, or write version 2"}}
		}
		return nil
	case v.Value != "2":
		return []Mistake{{v.Line, fmt.Sprintf("there is no version %q of network-config", v.Value), "write \"version: 2\""}}
	}
	mistakes := unknown(n, networkKeys)
	for i := 0; i+1 < len(n.Content); i += 2 {
		kind, devices := n.Content[i].Value, n.Content[i+1]
		if kind == "version" || kind == "renderer" || kind == "openvswitch" || !slices.Contains(networkKeys, kind) {
			continue
		}
		if devices.Kind != yaml.MappingNode {
			mistakes = append(mistakes, Mistake{devices.Line, kind + " is no mapping of names to devices", "write the name of a device, a colon, and below it what it has"})
			continue
		}
		for j := 1; j < len(devices.Content); j += 2 {
			if devices.Content[j].Kind == yaml.MappingNode {
				mistakes = append(mistakes, unknown(devices.Content[j], deviceKeys)...)
			}
		}
	}
	return mistakes
}

func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func unknown(n *yaml.Node, known []string) (mistakes []Mistake) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(known, k.Value) {
			mistakes = append(mistakes, Mistake{k.Line, fmt.Sprintf("network-config of version 2 knows no key %q", k.Value), "known here: " + strings.Join(known, ", ")})
		}
	}
	return mistakes
}

// Has tells whether a mapping has a key at its top.
func Has(text, key string) bool {
	n, mistakes := parse(text)
	return len(mistakes) == 0 && value(n, key) != nil
}

// openPassword is a key that holds a password as it is.
var openPassword = regexp.MustCompile(`(?m)^\s*-?\s*(plain_text_passwd|password):\s*[^\s#]`)

// OpenPassword is the first line with a password that is not hashed; 0 for none.
func OpenPassword(text string) int {
	at := openPassword.FindStringIndex(text)
	if at == nil {
		return 0
	}
	return strings.Count(text[:at[1]], "\n") + 1
}
