package cloudinit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Keys of version 2 of network-config, as cloud-init and netplan have them: of all, and of a device of any kind.
var (
	networkKeys = strings.Fields("version renderer ethernets bonds bridges vlans wifis modems tunnels vrfs openvswitch dummy-devices")
	deviceKeys  = strings.Fields(`accept-ra access-points activation-mode addresses auth bond-interface bridge-interfaces critical dhcp-identifier dhcp4
		dhcp4-overrides dhcp6 dhcp6-overrides emit-lldp gateway4 gateway6 generic-receive-offload id ignore-carrier infiniband-mode interfaces
		ipv6-address-generation ipv6-address-token ipv6-mtu ipv6-privacy key keys link link-local local macaddress match mode mtu nameservers
		networkmanager openvswitch optional optional-addresses parameters peers port ports receive-checksum-offload regulatory-domain remote renderer
		routes routing-policy set-name table ttl type virtual-function-count wakeonlan wakeonwlan`)
)

// innerKeys are those of mappings in a device.
var innerKeys = map[string][]string{
	"match":           {"name", "macaddress", "driver"},
	"nameservers":     {"search", "addresses"},
	"dhcp4-overrides": strings.Fields("hostname route-metric send-hostname use-dns use-domains use-hostname use-mtu use-ntp use-routes"),
}

// routeKeys are those of a route.
var routeKeys = strings.Fields("from to via on-link metric type scope table mtu congestion-window advertised-receive-window advmss")

// device checks what a device of version 2 says: its keys, addresses, name servers and routes.
func device(n *yaml.Node) []Mistake {
	mistakes := append(unknown(n, deviceKeys), addresses(value(n, "addresses"))...)
	for _, key := range []string{"match", "nameservers", "dhcp4-overrides", "dhcp6-overrides"} {
		switch inner := value(n, key); {
		case inner == nil || inner.Tag == "!!null":
		case inner.Kind != yaml.MappingNode:
			mistakes = append(mistakes, Mistake{inner.Line, key + " is no mapping", "known in it: " + strings.Join(innerKeys[strings.Replace(key, "6", "4", 1)], ", ")})
		default:
			mistakes = append(mistakes, unknown(inner, innerKeys[strings.Replace(key, "6", "4", 1)])...)
		}
	}
	return append(mistakes, routes(value(n, "routes"))...)
}

// addresses finds those that netplan and networkd would not take.
func addresses(n *yaml.Node) (mistakes []Mistake) {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []Mistake{{n.Line, "addresses are no list", "write each behind \"- \", or all in brackets"}}
	}
	for _, a := range n.Content {
		if _, err := netip.ParsePrefix(a.Value); a.Kind == yaml.ScalarNode && err != nil {
			mistakes = append(mistakes, Mistake{a.Line, fmt.Sprintf("%q is no address with the length of its network", a.Value), "write it like 192.0.2.7/24"})
		}
	}
	return mistakes
}

// routes finds those that lead nowhere.
func routes(n *yaml.Node) (mistakes []Mistake) {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []Mistake{{n.Line, "routes are no list", "begin each with \"- to:\""}}
	}
	for _, r := range n.Content {
		mistakes = append(mistakes, unknown(r, routeKeys)...)
		if r.Kind == yaml.MappingNode && value(r, "to") == nil {
			mistakes = append(mistakes, Mistake{r.Line, "a route has no \"to\"", "write where it leads, such as \"to: default\""})
		}
	}
	return mistakes
}

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
		switch config := value(n, "config"); {
		case config != nil && config.Kind != yaml.SequenceNode && config.Value != "disabled":
			return []Mistake{{config.Line, "config of version 1 is no list of devices", "begin each device with \"- type:\""}}
		case config == nil:
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
				mistakes = append(mistakes, device(devices.Content[j])...)
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
