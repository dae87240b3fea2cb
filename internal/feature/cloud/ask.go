package cloud

import (
	"context"
	"slices"
	"strings"

	"imagecustomizer/internal/cloudinit"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// ask has the image's cloud-init check a text, and returns what it says against it. It is not done where this version
// of it has no schema for such a text, or has left the check out, for want of a library: it succeeds then, too.
func (s SetCloudInit) ask(ctx context.Context, m *machine.Machine, k cloudinit.Kind) (why string, done bool) {
	t := s.CloudInit.Seed.texts()[k]
	if t == nil {
		return "", true
	}
	text, err := t.read()
	if err != nil {
		return err.Error(), true
	}
	args := []string{"schema", "--config-file", "/dev/stdin"}
	switch {
	case k == cloudinit.NetworkConfig:
		args = append(args, "--schema-type", "network-config")
	case !cloudinit.IsCloudConfig(text):
		return "", true // a script, or the like
	}
	if why, done = schema(ctx, m, text, args); !done && k != cloudinit.NetworkConfig {
		why, done = schema(ctx, m, text, append([]string{"devel"}, args...)) // versions before 22.2
	}
	return why, done
}

// schema reads what cloud-init says, whatever its exit status.
func schema(ctx context.Context, m *machine.Machine, text string, args []string) (why string, done bool) {
	c := hostcmd.New("cloud-init", args...)
	c.Stdin = strings.NewReader(text)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	err := m.Run(ctx, c)
	return verdict(said.String(), err)
}

const schemaErrors = "Cloud config schema errors"

// verdict is what a program has said that it has checked: one that only succeeds has not.
func verdict(out string, err error) (why string, done bool) {
	switch {
	case err == nil && (strings.Contains(out, "Valid schema") || strings.Contains(out, "Valid cloud-config")):
		return "", true
	case err != nil && strings.Contains(out, schemaErrors):
		out = out[strings.Index(out, schemaErrors):] // what stands before is a title, and what is deprecated
		return strings.Join(strings.Fields(strings.ReplaceAll(out, "/dev/stdin", "the text")), " "), true
	}
	return "", false
}

// cloudTraces is what cloud-init leaves: its state, its logs, and the network that it configured. What a seed brought
// stays, and its program "clean" is not asked, which would take more.
var cloudTraces = []string{
	cloudState + "/instance", cloudState + "/instances", cloudState + "/data", cloudState + "/sem", cloudState + "/handlers", cloudState + "/scripts",
	"/etc/netplan/50-cloud-init.yaml", "/etc/network/interfaces.d/50-cloud-init", "/etc/network/interfaces.d/50-cloud-init.cfg",
	"/etc/ssh/sshd_config.d/50-cloud-init.conf", "/etc/sudoers.d/90-cloud-init-users",
}

// cleanCloudInit forgets what cloud-init did in the image.
func cleanCloudInit(m *machine.Machine) error {
	list := slices.Clone(cloudTraces)
	for dir, prefix := range map[string]string{"/var/log": "cloud-init", "/etc/NetworkManager/system-connections": "cloud-init-", "/etc/systemd/network": "10-cloud-init-"} {
		list = append(list, beginning(m, dir, prefix)...)
	}
	for _, name := range list {
		if err := m.Root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}
