// Package identity knows what makes one machine differ from another, and what a machine leaves behind while it runs:
// clones of an image that holds such things are twins. One table says it for all that act on it.
package identity

import "regexp"

// How is what becomes of what a row finds.
type How string

// What becomes of files and folders.
const (
	Delete   How = "delete"   // with everything in them
	Truncate How = "truncate" // emptied, with their owner and mode
	Reset    How = "reset"    // to the state in which the machine makes its own
)

// Level is how much is taken away. Each takes what the one before takes.
type Level string

// The levels, and Asked for rows that none takes.
const (
	Minimal  Level = "minimal"
	Golden   Level = "golden"
	Template Level = "template"
	Asked    Level = "add"
)

// Levels are in their order.
var Levels = []Level{Minimal, Golden, Template}

// Row is one kind of thing.
type Row struct {
	Name string
	What string // in words, behind "clones of this image would share"
	// Globs are absolute; ~ is every user's home, {esp} every place of an EFI system partition. A component ** stands
	// for folders of any depth, and at the end for all files below.
	Globs []string
	On    string // systems that have it; empty for all
	How   How
	Why   string
	Level Level // from which on it goes
	// Twin is set where clones that share it are in each other's way.
	Twin bool

	drop *regexp.Regexp         // lines that are cut out
	made []string               // programs of which one must be there for that; without, it is deleted
	to   string                 // text that a file is reset to
	none func(text string) bool // a file that has been reset already, or holds nothing of the kind
	real bool                   // links are left: what they lead to has a row of its own
}

// lines are those of a file that a row drops.
func lines(expr string) *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*(?:` + expr + `).*\n?`) }

// Table is everything that is known.
var Table = []Row{
	{
		Name: "machine-id", What: "the machine identifier", Globs: []string{"/etc/machine-id"}, How: Reset, Level: Minimal, Twin: true,
		Why: "DHCP leases, the journal and D-Bus tell machines apart by it; it is never absent, since a system that cannot write then has none", none: noID,
	},
	{
		Name: "dbus-machine-id", What: "a copy of the machine identifier", Globs: []string{"/var/lib/dbus/machine-id"}, How: Delete, Level: Minimal, Twin: true,
		Why: "older programs read it; a copy would outlive the identifier, and D-Bus makes a link to it", real: true,
	},
	{
		Name: "machine-id-argument", What: "the machine identifier as a kernel argument", How: Reset, Level: Minimal, Twin: true,
		Globs: []string{"{esp}/loader/entries/*.conf", "/etc/kernel/cmdline", "/etc/default/grub", "/boot/grub*/grub.cfg"}, On: "systemd-boot, Fedora",
		Why: "kernel-install writes systemd.machine_id= into entries, and it wins over /etc/machine-id", drop: regexp.MustCompile(`[ \t]*\bsystemd\.machine_id=\w+`),
	},
	{
		Name: "ssh-host-keys", What: "SSH host keys", Globs: []string{"/etc/ssh/ssh_host_*"}, How: Delete, Level: Minimal, Twin: true,
		Why: "who has one machine's key can pretend to be all of them",
	},
	{
		Name: "dropbear-host-keys", What: "host keys of Dropbear", Globs: []string{"/etc/dropbear/dropbear_*_host_key"}, How: Delete, Level: Minimal, Twin: true,
		Why: "as those of SSH",
	},
	{
		Name: "random-seed", What: "the seed of random numbers", Globs: []string{"/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed", "/var/lib/random-seed"}, How: Delete, Level: Minimal, Twin: true,
		Why: "keys that are made at boot would be alike",
	},
	{
		Name: "esp-random-seed", What: "the boot loader's seed of random numbers", Globs: []string{"{esp}/loader/random-seed"}, How: Delete, Level: Minimal, Twin: true, On: "systemd-boot",
		Why: "systemd-boot hands it to every clone's kernel as if it were secret",
	},
	{
		Name: "credential-secret", What: "the key of systemd's credentials", Globs: []string{"/var/lib/systemd/credential.secret"}, How: Delete, Level: Minimal, Twin: true,
		Why: "one machine could read the credentials of another; systemd makes it anew",
	},
	{
		Name: "iscsi-initiator", What: "the name of the iSCSI initiator", Globs: []string{"/etc/iscsi/initiatorname.iscsi"}, How: Reset, Level: Minimal, Twin: true,
		Why: "two machines of one name tear each other's sessions down; open-iscsi makes one where the file says GenerateName=yes",
		to:  "GenerateName=yes\n", made: []string{"/lib/open-iscsi/startup-checks.sh", "/usr/lib/open-iscsi/startup-checks.sh"},
		none: func(text string) bool { return !iscsiName.MatchString(text) },
	},
	{
		Name: "nvme-host", What: "the name of the NVMe host", Globs: []string{"/etc/nvme/hostid", "/etc/nvme/hostnqn"}, How: Delete, Level: Minimal, Twin: true,
		Why: "a storage target takes two machines for one",
	},
	{
		Name: "networkmanager-secret", What: "NetworkManager's secret key", Globs: []string{"/var/lib/NetworkManager/secret_key"}, How: Delete, Level: Minimal, Twin: true,
		Why: "stable addresses and identifiers of DHCP come of it",
	},
	{
		Name: "dhcp-identifier", What: "the identifier of DHCP clients", Globs: []string{"/var/lib/dhcpcd/duid", "/etc/dhcpcd.duid", "/var/lib/dhcpcd/secret", "/var/lib/dhcpv6/dhcp6c_duid"}, How: Delete, Level: Minimal, Twin: true,
		Why: "clones would be given one address",
	},
	{
		Name: "docker-id", What: "the identifier of the Docker engine", Globs: []string{"/etc/docker/key.json", "/var/lib/docker/engine-id"}, How: Delete, Level: Minimal, Twin: true,
		Why: "managers of Docker hosts take clones for one; the engine makes it anew",
	},
	{
		Name: "kubelet-pki", What: "the certificates of a Kubernetes node", Globs: []string{"/var/lib/kubelet/pki/*"}, How: Delete, Level: Minimal, Twin: true,
		Why: "a clone would join the cluster as the other node",
	},
	{
		Name: "salt-minion", What: "the identity of a Salt minion",
		Globs: []string{"/etc/salt/minion_id", "/etc/salt/pki/minion/minion.*", "/etc/venv-salt-minion/minion_id", "/etc/venv-salt-minion/pki/minion/minion.*"}, How: Delete, Level: Minimal, Twin: true,
		Why: "the master knows minions by it; it is made at the start",
	},
	{
		Name: "puppet-ssl", What: "the certificates of a Puppet agent", How: Delete, Level: Minimal, Twin: true,
		Globs: []string{"/etc/puppetlabs/puppet/ssl/*", "/var/lib/puppet/ssl/*"}, Why: "the server knows agents by them",
	},
	{
		Name: "chef-client", What: "the key of a Chef client", Globs: []string{"/etc/chef/client.pem"}, How: Delete, Level: Minimal, Twin: true,
		Why: "the server knows nodes by it",
	},
	{
		Name: "consul-node", What: "the identifier of a Consul node", Globs: []string{"/var/lib/consul/node-id", "/opt/consul/node-id"}, How: Delete, Level: Minimal, Twin: true,
		Why: "a cluster refuses a second node that has it",
	},
	{
		Name: "ssm-agent", What: "the registration of the SSM agent", Globs: []string{"/var/lib/amazon/ssm/Vault/*", "/var/lib/amazon/ssm/registration"}, How: Delete, Level: Minimal, Twin: true,
		Why: "commands would reach the wrong machine",
	},
	{
		Name: "vpn-node", What: "the identity of a node of a private network", How: Delete, Level: Minimal, Twin: true,
		Globs: []string{"/var/lib/tailscale/tailscaled.state", "/var/lib/zerotier-one/identity.*"}, Why: "clones would push each other off the network",
	},
	{
		Name: "tor-keys", What: "the keys of a Tor node", Globs: []string{"/var/lib/tor/keys/*", "/var/lib/tor/fingerprint"}, How: Delete, Level: Minimal, Twin: true,
		Why: "two relays of one identity are both dropped; Tor makes them anew",
	},
	{
		Name: "netdata-id", What: "the identifier of a Netdata agent",
		Globs: []string{"/var/lib/netdata/registry/netdata.public.unique.id", "/var/lib/netdata/cloud.d/claimed_id", "/var/lib/netdata/cloud.d/private.pem"}, How: Delete, Level: Minimal, Twin: true,
		Why: "graphs of clones are mixed up",
	},
	{
		Name: "wazuh-agent", What: "the key of a Wazuh agent", Globs: []string{"/var/ossec/etc/client.keys"}, How: Truncate, Level: Minimal, Twin: true,
		Why: "two agents of one key throw each other out; an agent without one asks for it",
	},
	{
		Name: "agent-ids", What: "identifiers of agents of Elastic and Teleport", How: Delete, Level: Minimal, Twin: true,
		Globs: []string{"/var/lib/*beat/meta.json", "/opt/Elastic/Agent/fleet.enc", "/etc/elastic-agent/fleet.enc", "/var/lib/teleport/host_uuid"},
		Why:   "the server takes clones for one; the agents make them, or are enrolled, anew",
	},
	{
		Name: "k3s-node", What: "the password of a node of k3s", Globs: []string{"/etc/rancher/node/password"}, How: Delete, Level: Minimal, Twin: true,
		Why: "the server refuses a second node that has it; it is made anew",
	},
	{
		Name: "mysql-server", What: "the identifier of a MySQL server", Globs: []string{"/var/lib/mysql/auto.cnf"}, How: Delete, Level: Minimal, Twin: true,
		Why: "a replica of the same identifier is refused; the server makes it anew",
	},
	{
		Name: "snmp-engine", What: "the identifier of the SNMP engine", Globs: []string{"/var/lib/snmp/snmpd.conf", "/var/lib/net-snmp/snmpd.conf"}, How: Reset, Level: Minimal, Twin: true,
		Why: "SNMPv3 keys hang on it; the agent makes it anew", drop: lines("oldEngineID|engineBoots"),
	},
	{
		Name: "subscription", What: "the registration with a vendor", How: Delete, Level: Minimal, Twin: true, On: "RPM-based, Ubuntu",
		Globs: []string{
			"/etc/pki/consumer/*", "/etc/pki/entitlement/*", "/etc/sysconfig/rhn/systemid", "/etc/sysconfig/rhn/osad-auth.conf", "/etc/insights-client/machine-id",
			"/etc/insights-client/.registered", "/var/lib/ubuntu-advantage/private/*", "/var/lib/landscape/client/*.bpickle",
		}, Why: "one registration would count, and be revoked, for all clones",
	},
	{
		Name: "package-manager-id", What: "the identifier of the package manager", On: "RPM-based", How: Delete, Level: Minimal, Twin: true,
		Globs: []string{"/var/lib/yum/uuid", "/etc/sysconfig/hw-uuid", "/etc/smolt/uuid", "/etc/smolt/hw-uuid"}, Why: "mirrors count machines by it",
	},
	{
		Name: "kerberos-keytab", What: "the Kerberos key of the host", Globs: []string{"/etc/krb5.keytab"}, How: Delete, Level: Minimal, Twin: true,
		Why: "clones would be one host to the domain",
	},
	{
		Name: "domain-member", What: "the membership of a domain", How: Delete, Level: Minimal, Twin: true,
		Globs: []string{"/var/lib/samba/private/secrets.tdb", "/etc/ipa/ca.crt", "/etc/ipa/default.conf", "/var/lib/ipa-client/sysrestore/*", "/var/lib/ipa-client/pki/*"},
		Why:   "a machine joins a domain for itself",
	},

	{
		Name: "udev-net-names", What: "names of network cards by address", How: Delete, Level: Golden, Twin: true,
		Globs: []string{"/etc/udev/rules.d/70-persistent-net.rules", "/etc/udev/rules.d/75-persistent-net-generator.rules"}, Why: "a clone's first card would be eth1",
	},
	{
		Name: "net-hardware", What: "hardware addresses in the network's configuration", On: "RPM-based", How: Reset, Level: Golden, Twin: true,
		Globs: []string{"/etc/sysconfig/network-scripts/ifcfg-*"}, Why: "it would fit no clone's card", drop: lines("HWADDR=|UUID=|DHCP_HOSTNAME="),
	},
	{
		Name: "dhcp-leases", What: "DHCP leases", How: Delete, Level: Golden, Twin: true,
		Globs: []string{
			"/var/lib/dhclient/*", "/var/lib/dhcp/*", "/var/lib/dhcpcd/*.lease*", "/var/lib/NetworkManager/*.lease", "/var/lib/NetworkManager/timestamps",
			"/var/lib/NetworkManager/seen-bssids", "/var/lib/systemd/network/*",
		}, Why: "clones would ask for one address",
	},
	{
		Name: "dhcp-server-leases", What: "leases that the machine gave", Globs: []string{"/var/lib/dhcpd/*.leases*"}, How: Truncate, Level: Golden,
		Why: "they are those of another network; the server does not start without the file",
	},
	{
		Name: "cloud-init", What: "what cloud-init did", How: Delete, Level: Golden, Twin: true,
		Globs: []string{
			"/var/lib/cloud/instance", "/var/lib/cloud/instances/*", "/var/lib/cloud/data/*", "/var/lib/cloud/sem/*", "/etc/netplan/50-cloud-init.yaml",
			"/etc/network/interfaces.d/50-cloud-init", "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
		},
		Why: "it would take a clone for the machine on which it has run; its seed stays",
	},
	{
		Name: "waagent", What: "what the Azure agent did", How: Delete, Level: Golden, Twin: true, On: "Azure",
		Globs: []string{"/var/lib/waagent/*"}, Why: "it would not provision a clone",
	},
	{
		Name: "ssh-known-hosts", What: "hosts that users know", Globs: []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts.old"}, How: Delete, Level: Golden,
		Why: "they tell where the image was made",
	},
	{
		Name: "histories", What: "histories of users", How: Delete, Level: Golden,
		Globs: []string{
			"~/.bash_history", "~/.zsh_history", "~/.ash_history", "~/.sh_history", "~/.python_history", "~/.lesshst", "~/.viminfo", "~/.wget-hsts",
			"~/.mysql_history", "~/.psql_history", "~/.sqlite_history", "~/.node_repl_history", "~/.local/share/fish/fish_history",
		},
		Why: "they hold commands, and passwords typed into them",
	},
	{Name: "user-caches", What: "caches of users", Globs: []string{"~/.cache/*", "~/.sudo_as_admin_successful"}, How: Delete, Level: Golden, Why: "they are made anew"},
	{Name: "journal", What: "the journal", Globs: []string{"/var/log/journal/*"}, How: Delete, Level: Golden, Why: "it lies under the old machine identifier, where nobody would look"},
	{
		Name: "old-logs", What: "rotated logs", How: Delete, Level: Golden,
		Globs: []string{"/var/log/**/*.gz", "/var/log/**/*.xz", "/var/log/**/*.zst", "/var/log/**/*.bz2", "/var/log/**/*.old", "/var/log/**/*.[0-9]", "/var/log/**/*-2[0-9][0-9][0-9][0-9][0-9][0-9][0-9]"},
		Why:   "they are of another machine",
	},
	{
		Name: "logs", What: "logs", Globs: []string{"/var/log/**", "/var/named/data/named.run", "/var/account/pacct"}, How: Truncate, Level: Golden,
		Why: "they are of another machine; files and folders stay, without which some services do not start",
	},
	{
		Name: "installer-files", What: "what an installer left", Globs: []string{"/root/install.log*", "/root/anaconda-*", "/root/initial-setup-ks.cfg", "/root/original-ks.cfg", "/var/log/installer/*"}, How: Delete, Level: Golden,
		Why: "they hold hashes of passwords",
	},
	{
		Name: "logrotate-state", What: "when logs were rotated", Globs: []string{"/var/lib/logrotate.status", "/var/lib/logrotate/status", "/var/lib/logrotate/logrotate.status"}, How: Delete, Level: Golden,
		Why: "the logs are new",
	},
	{Name: "timers", What: "when timers ran", Globs: []string{"/var/lib/systemd/timers/*"}, How: Delete, Level: Golden, Why: "all clones would run them in the same minute"},
	{
		Name: "hardware-state", What: "states of hardware", Globs: []string{"/var/lib/systemd/backlight/*", "/var/lib/systemd/rfkill/*", "/etc/lvm/devices/system.devices", "/var/lib/chrony/drift", "/var/lib/ntp/ntp.drift", "/var/lib/ntpsec/ntp.drift", "/var/lib/fwupd/pending.db"}, How: Delete, Level: Golden,
		Why: "another machine has other hardware",
	},
	{
		Name: "crashes", What: "crash dumps", How: Delete, Level: Golden,
		Globs: []string{"/var/crash/*", "/var/lib/systemd/coredump/*", "/var/spool/abrt/*", "/var/lib/systemd/pstore/*", "/var/log/dump/*"}, Why: "they hold the memory of programs",
	},
	{
		Name: "package-caches", What: "caches of package managers", How: Delete, Level: Golden,
		Globs: []string{"/var/cache/apt/archives/**", "/var/cache/apt/*.bin", "/var/lib/apt/lists/**", "/var/cache/dnf/*", "/var/cache/libdnf5/*", "/var/cache/tdnf/*", "/var/cache/yum/*", "/var/cache/zypp*/*", "/var/cache/PackageKit/*"},
		Why:   "they are out of date when a clone starts",
	},
	{Name: "temporary-files", What: "temporary files", Globs: []string{"/tmp/*", "/var/tmp/*"}, How: Delete, Level: Golden, Why: "nobody looks for them again"},
	{Name: "mail", What: "mail", Globs: []string{"/var/spool/mail/*", "/var/mail/*"}, How: Truncate, Level: Golden, Why: "it is of another machine; the boxes stay with their owners"},
	{
		Name: "jobs", What: "jobs that wait", Globs: []string{"/var/spool/at/*", "/var/spool/cron/atjobs/*", "/var/spool/cron/atspool/*"}, How: Delete, Level: Golden,
		Why: "every clone would run them",
	},
	{
		Name: "account-backups", What: "old accounts", Globs: []string{"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"}, How: Delete, Level: Golden,
		Why: "they hold hashes of passwords that were changed",
	},
	{
		Name: "login-state", What: "who logged in", How: Delete, Level: Golden,
		Globs: []string{"/var/lib/AccountService/users/*", "/var/lib/fprint/*", "/var/lib/wtmpdb/wtmp.db", "/var/lib/lastlog/lastlog2.db"}, Why: "it is of another machine",
	},
	{
		Name: "blkid-cache", What: "a cache of devices", Globs: []string{"/etc/blkid.tab", "/etc/blkid.tab.old", "/etc/blkid/blkid.tab", "/etc/blkid/blkid.tab.old"}, How: Delete, Level: Golden,
		Why: "another machine has other devices",
	},

	{
		Name: "authorized-keys", What: "keys that users log in with", Globs: []string{"~/.ssh/authorized_keys", "~/.ssh/authorized_keys2"}, How: Delete, Level: Template,
		Why: "who made the image could log in to every machine made of it",
	},
	{Name: "user-keys", What: "SSH keys of users", Globs: []string{"~/.ssh/id_*"}, How: Delete, Level: Template, Twin: true, Why: "they are one person's"},
	{
		Name: "cloud-credentials", What: "credentials of users", How: Delete, Level: Template,
		Globs: []string{"~/.aws/credentials", "~/.azure/*", "~/.config/gcloud/*", "~/.docker/config.json", "~/.kube/config", "~/.netrc", "~/.git-credentials", "~/.pgpass"},
		Why:   "they are one person's",
	},
	{
		Name: "networkmanager-connections", What: "connections of NetworkManager", Globs: []string{"/etc/NetworkManager/system-connections/*.nmconnection"}, How: Delete, Level: Template,
		Why: "they hold addresses and passwords of one network",
	},
	{Name: "databases-of-domain", What: "caches of a domain", Globs: []string{"/var/lib/sss/db/*", "/var/lib/sss/mc/*"}, How: Delete, Level: Template, Why: "they hold hashes of passwords of its users"},

	{Name: "cron-tables", What: "cron tables of users", Globs: []string{"/var/spool/cron/crontabs/*", "/var/spool/cron/*"}, How: Delete, Level: Asked, Why: "they may be meant for every clone"},
	{
		Name: "tls-snakeoil", What: "the self-made TLS key", Globs: []string{"/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"}, How: Delete, Level: Asked, Twin: true, On: "Debian",
		Why: "services that use it do not start without, and only the package makes it; a first-boot script can (make-ssl-cert generate-default-snakeoil --force-overwrite)",
	},
	{
		Name: "firewall-rules", What: "rules of the firewall", Globs: []string{"/etc/sysconfig/iptables", "/etc/firewalld/services/*", "/etc/firewalld/zones/*"}, How: Delete, Level: Asked,
		Why: "they may be meant for every clone",
	},
	{Name: "kerberos-data", What: "the database of a Kerberos server", Globs: []string{"/var/kerberos/krb5kdc/principal*", "/var/lib/krb5kdc/principal*"}, How: Delete, Level: Asked, Why: "few images have one by mistake"},
	{Name: "host-name", What: "the host name", Globs: []string{"/etc/hostname", "/etc/machine-info"}, How: Delete, Level: Asked, Why: "it is often meant; DHCP or cloud-init gives another"},
}

// Find returns the row of a name.
func Find(name string) (Row, bool) {
	for _, r := range Table {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}

// Names are those of all rows.
func Names() (names []string) {
	for _, r := range Table {
		names = append(names, r.Name)
	}
	return names
}

// At tells whether a level takes a row.
func (r Row) At(l Level) bool {
	for _, x := range Levels {
		if x == r.Level {
			return true
		}
		if x == l {
			break
		}
	}
	return false
}

var (
	iscsiName = regexp.MustCompile(`(?m)^[ \t]*InitiatorName=`)
	hexID     = regexp.MustCompile(`^[0-9a-fA-F]{32}\s*$`)
)

// noID tells whether a machine identifier is none.
func noID(text string) bool { return !hexID.MatchString(text) }
