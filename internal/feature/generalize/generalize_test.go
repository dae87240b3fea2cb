package generalize

import (
	"context"
	"maps"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
)

// generalizeTest is a config of the sections here.
type generalizeTest struct {
	OS struct {
		Generalize Generalize `yaml:"generalize"`
	} `yaml:"os"`
}

const (
	anID      = "0123456789abcdef0123456789abcdef"
	sshUnit   = "[Service]\nExecStart=/usr/sbin/sshd -D\n[Install]\nWantedBy=multi-user.target\n"
	locked    = "root:!:1::::::\nalice:!:1::::::\n"
	someUsers = "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/srv/alice:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
)

// generalized is a machine with these files, links (their text begins with ->) and programs.
func generalizedTree(t *testing.T, files map[string]string) *machine.Machine {
	t.Helper()
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	if _, there := all["etc/machine-id"]; !there {
		all["etc/machine-id"] = anID + "\n"
	}
	return featuretest.LinkedTree(t, all)
}

func clean(level string) Clean { return Clean{Generalize: Generalize{Level: GeneralizeLevel(level)}} }

// TestMachineIDIsNeverAbsent: whatever the image, the file is there, and says what its first boot must hear.
func TestMachineIDIsNeverAbsent(t *testing.T) {
	t.Parallel()
	part := map[string]string{
		"usr/lib/systemd/system/a.service":                     "[Install]\nWantedBy=multi-user.target other.target\n",
		"etc/systemd/system/multi-user.target.wants/a.service": "->/usr/lib/systemd/system/a.service",
	}
	sealed, late, early, empty := clean("minimal"), clean("minimal"), clean("minimal"), clean("minimal")
	sealed.ReadOnly, late.ReadOnly, early.ReadOnly, empty.MachineID = true, true, true, idEmpty
	late.WritableEtc, early.WritableEtc, early.EarlyEtc = true, true, true
	for name, c := range map[string]struct {
		step  Clean
		files map[string]string
		want  string
	}{
		"writable":                         {clean("minimal"), nil, "uninitialized\n"},
		"sealed":                           {sealed, nil, ""},
		"sealed, overlay of the initramfs": {early, nil, "uninitialized\n"},
		"sealed, overlay too late":         {late, nil, ""},
		"read-only in fstab":               {clean("golden"), map[string]string{"etc/fstab": "/dev/vda1 / ext4 defaults,ro 0 1\n"}, ""},
		"overlay in fstab":                 {clean("golden"), map[string]string{"etc/fstab": "/dev/vda1 / ext4 ro 0 1\noverlay /etc overlay x-initrd.mount,lowerdir=/etc 0 0\n"}, "uninitialized\n"},
		"late overlay in fstab":            {clean("golden"), map[string]string{"etc/fstab": "/dev/vda1 / ext4 ro 0 1\noverlay /etc overlay lowerdir=/etc 0 0\n"}, ""},
		"asked for":                        {empty, nil, ""},
		"presets cannot":                   {clean("minimal"), part, ""},
		"kept":                             {Clean{Generalize: Generalize{Level: "minimal", Skip: []RowName{"machine-id"}}}, nil, anID + "\n"},
		"a link":                           {clean("minimal"), map[string]string{"etc/machine-id": "->/var/id"}, "uninitialized\n"},
	} {
		m := generalizedTree(t, c.files)
		featuretest.MustRun(t, m, c.step, c.step) // twice
		fi, err := m.Root.Lstat("/etc/machine-id")
		if err != nil || !fi.Mode().IsRegular() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := featuretest.Read(t, m, "/etc/machine-id"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	m := generalizedTree(t, part)
	wrong := clean("minimal")
	wrong.MachineID = idUninitialized
	if err := wrong.Run(context.Background(), m); err == nil || !strings.Contains(err.Error(), "a.service") {
		t.Errorf("uninitialized although presets would change a unit: %v", err)
	}
}

func TestEntriesAreNamedAsBefore(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]bool{
		"boot/efi/loader/entries/" + anID + "-6.1.conf": true, "boot/loader/entries/" + anID + "-6.1+3.conf": true, "efi/EFI/Linux/" + anID + "-6.1.efi": true,
		"boot/" + anID + "/6.1/linux": true, "boot/loader/entries/debian-6.1.conf": false,
	} {
		m := generalizedTree(t, map[string]string{place: "options quiet systemd.machine_id=" + anID + " rw\n"})
		featuretest.MustRun(t, m, clean("minimal"))
		if got := m.Root.Exists(entryTokenFile); got != want {
			t.Errorf("%s: a token is there: %v", place, got)
		}
		if want && featuretest.Read(t, m, entryTokenFile) != anID+"\n" {
			t.Errorf("%s: wrong token", place)
		}
		if text := featuretest.Read(t, m, "/"+place); strings.Contains(place, "/entries/") && text != "options quiet rw\n" {
			t.Errorf("%s holds %q", place, text)
		}
	}
	m := generalizedTree(t, map[string]string{"boot/" + anID + "/6.1/linux": "", "etc/kernel/entry-token": "own\n"})
	featuretest.MustRun(t, m, clean("minimal"))
	if featuretest.Read(t, m, entryTokenFile) != "own\n" {
		t.Error("the image's token was replaced")
	}
}

// TestFirstBootAsksNothing: the units of systemd that ask on the console keep all else that they do.
func TestFirstBootAsksNothing(t *testing.T) {
	t.Parallel()
	const unit = "[Unit]\nConditionFirstBoot=yes\n[Service]\nStandardInput=tty\n"
	m := generalizedTree(t, map[string]string{
		"usr/lib/systemd/system/systemd-firstboot.service":       unit + "ExecStart=systemd-firstboot --prompt-locale --prompt-root-password --copy\n",
		"usr/lib/systemd/system/systemd-homed-firstboot.service": unit + "ExecStart=homectl firstboot --prompt-new-user\n",
		"usr/lib/systemd/system/quiet.service":                   unit + "ExecStart=/bin/quiet\n",
		"usr/lib/systemd/system/every.service":                   "[Service]\nExecStart=/bin/every --prompt\n[Install]\nWantedBy=a.target\n",
	})
	featuretest.MustRun(t, m, clean("minimal"))
	for name, want := range map[string]string{"systemd-firstboot": "systemd-firstboot --copy", "systemd-homed-firstboot": "homectl firstboot"} {
		if got := featuretest.Read(t, m, "/etc/systemd/system/"+name+".service.d/generalize.conf"); got != "[Service]\nExecStart=\nExecStart="+want+"\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"quiet", "every"} {
		if m.Root.Exists("/etc/systemd/system/" + name + ".service.d") {
			t.Errorf("%s was changed", name)
		}
	}
	if got := featuretest.Read(t, m, "/etc/systemd/system-preset/"+presetName); !strings.HasSuffix(got, "\ndisable every.service\n") {
		t.Errorf("presets: %q", got)
	}
}

// TestWhoMakesHostKeys: ours is added only where no unit of the image makes them at every boot.
func TestWhoMakesHostKeys(t *testing.T) {
	t.Parallel()
	const keygen = "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"
	for name, c := range map[string]struct {
		files map[string]string
		ours  bool
	}{
		"nobody":                       {nil, true},
		"a unit that the server wants": {map[string]string{"usr/lib/systemd/system/ssh.service": "[Unit]\nWants=keys.service\n" + sshUnit, "usr/lib/systemd/system/keys.service": keygen}, false},
		"a target with instances": {map[string]string{
			"usr/lib/systemd/system/sshd.service": "[Unit]\nWants=sshd-keygen.target\n" + sshUnit, "usr/lib/systemd/system/sshd-keygen.target": "[Unit]\nWants=sshd-keygen@rsa.service\n",
			"usr/lib/systemd/system/sshd-keygen@.service": "[Service]\nExecStart=/usr/libexec/openssh/sshd-keygen %i\n",
		}, false},
		"an enabled unit":        {map[string]string{"etc/systemd/system/multi-user.target.wants/k.service": "->/usr/lib/systemd/system/k.service", "usr/lib/systemd/system/k.service": keygen}, false},
		"a unit nobody starts":   {map[string]string{"usr/lib/systemd/system/k.service": keygen}, true},
		"a masked unit":          {map[string]string{"usr/lib/systemd/system/ssh.service": "[Unit]\nWants=k.service\n" + sshUnit, "usr/lib/systemd/system/k.service": keygen, "etc/systemd/system/k.service": "->/dev/null"}, true},
		"only on the first boot": {map[string]string{"usr/lib/systemd/system/ssh.service": "[Unit]\nWants=k.service\n" + sshUnit, "usr/lib/systemd/system/k.service": "[Unit]\nConditionFirstBoot=yes\n" + keygen}, true},
		"the server itself":      {map[string]string{"usr/lib/systemd/system/ssh.service": strings.Replace(sshUnit, "[Install]", "ExecStartPre=/bin/ssh-keygen -q -A\n[Install]", 1)}, false},
	} {
		files := map[string]string{"usr/lib/systemd/system/ssh.service": sshUnit, "usr/bin/ssh-keygen": "", "usr/bin/sync": "", "etc/ssh/ssh_host_rsa_key": "k", "etc/ssh/ssh_host_rsa_key.pub": "k"}
		for k, v := range c.files {
			files[k] = v
		}
		m := generalizedTree(t, files)
		featuretest.MustRun(t, m, clean("minimal"))
		if m.Root.Exists("/etc/ssh/ssh_host_rsa_key") {
			t.Errorf("%s: the key is left", name)
		}
		if got := m.Root.Exists("/etc/systemd/system/ssh-host-keys.service"); got != c.ours {
			t.Errorf("%s: our unit is there: %v", name, got)
		}
		if c.ours {
			if got := featuretest.Read(t, m, "/etc/systemd/system/ssh.service.d/host-keys.conf"); got != "[Unit]\nWants=ssh-host-keys.service\nAfter=ssh-host-keys.service\n" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// TestWhatGeneralizeRefuses is found when planning, before anything is changed.
func TestWhatGeneralizeRefuses(t *testing.T) {
	t.Parallel()
	key := map[string]string{"etc/ssh/ssh_host_rsa_key": "k", "usr/bin/ssh-keygen": "", "usr/lib/systemd/system/ssh.service": sshUnit}
	with := func(base map[string]string, more ...string) map[string]string {
		files := map[string]string{}
		for k, v := range base {
			files[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	in := map[string]string{"etc/passwd": someUsers, "etc/shadow": locked, "srv/alice/.ssh/authorized_keys": "ssh-ed25519 AAAA"}
	sealed, given, keyed := clean("minimal"), clean("template"), clean("template")
	sealed.ReadOnly, given.Passwords, keyed.Keyed = true, []string{"bob"}, []string{"bob"}
	for name, c := range map[string]struct {
		step  Clean
		files map[string]string
		want  string
	}{
		"keys that sealed roots cannot make": {sealed, key, "cannot be written at boot"},
		"read-only, overlay in fstab":        {clean("minimal"), with(key, "etc/fstab", "/dev/vda1 / ext4 ro 0 1\noverlay /etc overlay lowerdir=/etc 0 0\n"), ""},
		"read-only in fstab":                 {clean("minimal"), with(key, "etc/fstab", "/dev/vda1 / ext4 ro 0 1\n"), "cannot be written at boot"},
		"no ssh-keygen":                      {clean("minimal"), map[string]string{"etc/ssh/ssh_host_rsa_key": "k", "usr/lib/systemd/system/ssh.service": sshUnit}, "no ssh-keygen"},
		"no systemd":                         {clean("minimal"), map[string]string{"etc/ssh/ssh_host_rsa_key": "k", "etc/init.d/ssh": ""}, "no unit of systemd"},
		"another host key":                   {clean("minimal"), with(key, "etc/ssh/sshd_config", "HostKey /etc/ssh/mine\n", "etc/ssh/mine", "k"), "/etc/ssh/mine"},
		"no server":                          {clean("minimal"), map[string]string{"etc/ssh/ssh_host_rsa_key": "k"}, ""},
		"the only key":                       {clean("template"), in, "/srv/alice/.ssh/authorized_keys"},
		"the config's only key":              {keyed, map[string]string{"etc/passwd": someUsers, "etc/shadow": locked}, "the keys of bob"},
		"a level that leaves it":             {clean("golden"), in, ""},
		"a password":                         {clean("template"), with(in, "etc/shadow", "root:$6$a$b:1::::::\n"), ""},
		"a password without a shell":         {clean("template"), with(in, "etc/shadow", "daemon:$6$a$b:1::::::\n"), "by which alone"},
		"no password is asked for":           {clean("template"), with(in, "etc/shadow", "root::1::::::\n"), ""},
		"a password of the config":           {given, in, ""},
		"cloud-init": {clean("template"), with(in, "usr/lib/systemd/system/cloud-init.service", "[Service]\n",
			"etc/systemd/system/cloud-init.target.wants/cloud-init.service", "->/usr/lib/systemd/system/cloud-init.service"), ""},
		"cloud-init that is off": {clean("template"), with(in, "usr/lib/systemd/system/cloud-init.service", "[Service]\n", "etc/cloud/cloud-init.disabled", "",
			"etc/systemd/system/cloud-init.target.wants/cloud-init.service", "->/usr/lib/systemd/system/cloud-init.service"), "by which alone"},
	} {
		m := generalizedTree(t, c.files)
		var got string
		for _, p := range c.step.Check(context.Background(), m) {
			got += p.Text
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if c.want != "" {
			if err := c.step.Run(context.Background(), m); err == nil || featuretest.Read(t, m, "/etc/machine-id") != anID+"\n" {
				t.Errorf("%s: it ran: %v", name, err)
			}
		}
	}
}

func TestStrictFailsOnWhatIsLeft(t *testing.T) {
	t.Parallel()
	files := map[string]string{"etc/ssl/private/ssl-cert-snakeoil.key": "k", "var/lib/systemd/random-seed": "s", "var/log/left": "no harm to clones"}
	s := clean("minimal")
	s.Strict = true
	if err := s.Run(context.Background(), generalizedTree(t, files)); err == nil || !strings.Contains(err.Error(), "tls-snakeoil") {
		t.Errorf("%v", err)
	}
	s.Add = []RowName{"tls-snakeoil"}
	featuretest.MustRun(t, generalizedTree(t, files), s)
	s.Keep = []KeepGlob{"/var/lib/systemd/**"}
	if err := s.Run(context.Background(), generalizedTree(t, files)); err == nil || !strings.Contains(err.Error(), "random-seed") {
		t.Errorf("%v", err)
	}
}

// TestLevelsGrow: each takes what the one before takes.
func TestLevelsGrow(t *testing.T) {
	t.Parallel()
	before := 0
	for _, l := range identity.Levels {
		n := len(Generalize{Level: GeneralizeLevel(l)}.rows())
		if n <= before || n >= len(identity.Table) {
			t.Errorf("%s takes %d of %d rows", l, n, len(identity.Table))
		}
		before = n
	}
}

func TestGeneralizeIsChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[generalizeTest](t, "generalize", map[string]string{
		"{strict: true}":                                       "level is missing",
		"{level: full}":                                        `"full"`,
		"{level: golden, skip: [log]}":                         "logs",
		"{level: golden, skip: [logs], add: [logs]}":           "to be taken out and to be left",
		"{level: golden, strict: true, skip: [ssh-host-keys]}": "strict demands",
		"{level: golden, keep: [var/log]}":                     "is not a pattern",
		"{level: golden, keep: [/**]}":                         "is not a pattern",
		"{level: golden, keep: ['/var/[']}":                    "is not a pattern",
		"{level: golden, machineId: absent}":                   `"absent"`,
	})
}
