package cli

import (
	"bytes"
	"fmt"
	"strings"

	"imagecustomizer/internal/identity"
)

const generalizeIntro = generated + `# Generalize

Machines made of one image are twins: they have one machine identifier, one set of SSH host keys, one seed of random
numbers, and each other's logs. ` + "`os.generalize`" + ` takes that out of the image, at the end of the run, behind all scripts.
Elsewhere this is called sealing a template, or sysprep; what virt-sysprep does is found [below](#coming-from-virt-sysprep).

` + "```yaml" + `
os:
  generalize:
    level: golden          # or minimal, or template
    skip: [logs]           # rows of the table below to leave
    add: [tls-snakeoil]    # rows to take out besides
    keep: [/var/log/installer/**]
    strict: true           # fail if something that tells machines apart is left
` + "```" + `

- **The machine identifier** is never absent. /etc/machine-id holds "uninitialized", or nothing where the root cannot be
  written at boot: systemd needs the file then, to mount one over it. If it names boot entries of kernel-install, it is
  written to /etc/kernel/entry-token first, so that the next kernel still lands beside the others.
- **The first boot changes no unit.** "uninitialized" makes systemd apply presets to all units, which enables what was
  disabled. /etc/systemd/system-preset/0-generalize.preset says of each unit what it was. Where presets cannot say it
  (a unit for which only some of its links are there), the file is left empty instead. Units that ask questions on the
  console at the first boot ask none: nobody would answer, and the boot would wait.
- **A sealed or read-only root** needs /etc to be writable for host keys: an overlay (os.overlays), or else the run is
  refused unless ssh-host-keys is in skip. The machine identifier of such a system is made anew at each boot, unless the
  overlay is mounted in the initramfs, before systemd looks for it.
- **Host keys** are taken out only where they are made again at every boot on which they are missing. If no unit of the
  image does so, ssh-host-keys.service is added: it runs ssh-keygen -A before the server starts. A unit that does so on
  the first boot only does not count, since that may be cut off; neither does cloud-init, which may find no data.
- **The way in stays.** The level template takes keys that users log in with. Where no user has a password and no agent
  makes users at boot, the run is refused before anything is changed.
- A link of the image is followed only to a folder of the same name (/var/spool/mail may be /var/mail). Homes are those of
  /etc/passwd, wherever they lie. Nothing of cloud-init's own cleaning is called.

` + "`imagecustomizer verify`" + ` warns of what clones of an image would share: the rows marked so below.
` + "`imagecustomizer inspect --identity IMAGE`" + ` lists all that an image has of the table, as text or, with ` + "`--format json`" + `, for programs.

`

// generalizePage is the table of what is taken out.
func generalizePage() []byte {
	var b bytes.Buffer
	b.WriteString(generalizeIntro)
	for _, l := range append(identity.Levels, identity.Asked) {
		title, intro := "Level "+string(l), ""
		if l == identity.Asked {
			title, intro = "Only with add", "No level takes these.\n\n"
		}
		fmt.Fprintf(&b, "## %s\n\n%s| Row | What | Where | How | Shared | Why |\n|---|---|---|---|---|---|\n", title, intro)
		for _, r := range identity.Table {
			if r.Level == l {
				b.WriteString(generalizeRow(r))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("## Coming from virt-sysprep\n\n| Operation of virt-sysprep | Row here |\n|---|---|\n")
	for _, o := range sysprep {
		rows := "`" + strings.Join(strings.Fields(o.rows), "` `") + "`"
		if o.rows == "" {
			rows = o.otherwise
		} else if o.otherwise != "" {
			rows += "; " + o.otherwise
		}
		fmt.Fprintf(&b, "| %s | %s |\n", strings.ReplaceAll(o.operations, " ", ", "), rows)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// sysprep are the operations of virt-sysprep(1), and the rows that do what they do.
var sysprep = []struct{ operations, rows, otherwise string }{
	{"abrt-data crash-data", "crashes", ""},
	{"backup-files", "", "a script: what ends in ~ or .bak may be meant"},
	{"bash-history zsh-history", "histories", ""},
	{"blkid-tab", "blkid-cache", ""},
	{"ca-certificates dovecot-data", "", "a script: they are what a server was set up for"},
	{"cron-spool", "jobs cron-tables", ""},
	{"customize script firstboot", "", "the other sections of a config, and os.firstBoot"},
	{"dhcp-client-state", "dhcp-leases dhcp-identifier", ""},
	{"dhcp-server-state", "dhcp-server-leases", ""},
	{"firewall-rules", "firewall-rules", ""},
	{"flag-reconfiguration", "", "none: nothing is asked at the first boot"},
	{"fs-uuids", "", "storage.resetPartitionsUuidsType"},
	{"ipa-client kerberos-hostkeytab", "domain-member kerberos-keytab", ""},
	{"kerberos-data", "kerberos-data", ""},
	{"logfiles", "logs old-logs journal logrotate-state installer-files", ""},
	{"lvm-system-devices", "hardware-state", ""},
	{"lvm-uuids", "", "none: images with LVM are not read yet"},
	{"machine-id", "machine-id dbus-machine-id", ""},
	{"mail-spool", "mail", ""},
	{"net-hostname", "host-name", ""},
	{"net-hwaddr", "net-hardware", ""},
	{"net-nmconn", "networkmanager-connections", ""},
	{"package-manager-cache", "package-caches", ""},
	{"pacct-log", "logs", ""},
	{"pam-data utmp", "", "none: they lie in memory"},
	{"passwd-backups", "account-backups", ""},
	{"puppet-data-log", "puppet-ssl logs", ""},
	{"rh-subscription-manager rhn-systemid", "subscription", ""},
	{"rpm-db", "", "none: rpm leaves no such files any more"},
	{"samba-db-log sssd-db-log", "domain-member databases-of-domain logs", ""},
	{"smolt-uuid yum-uuid", "package-manager-id", ""},
	{"ssh-hostkeys", "ssh-host-keys", "keys are made at boot, on Debian too"},
	{"ssh-userdir", "authorized-keys user-keys ssh-known-hosts", "the configuration of users stays"},
	{"tmp-files", "temporary-files", ""},
	{"udev-persistent-net", "udev-net-names", ""},
	{"user-account", "", "a script with userdel"},
}

func generalizeRow(r identity.Row) string {
	shared, on := "", ""
	if r.Twin {
		shared = "yes"
	}
	if r.On != "" {
		on = " (" + r.On + ")"
	}
	return fmt.Sprintf("| `%s` | %s%s | `%s` | %s | %s | %s |\n", r.Name, r.What, on, strings.Join(r.Globs, "` `"), r.How, shared, r.Why)
}
