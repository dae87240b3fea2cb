package hostcmd

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ForCaller returns a command that runs as the user who called sudo, or else as whoever runs this program, and not in the
// fence: it is a command of the user's own, which a config names and the command line has allowed. Nothing that it prints is
// logged. Its environment is what such a user's programs need, and nothing else.
func ForCaller(program string, args ...string) (*Cmd, error) {
	c := Unconfined("it is the user's own", program, args...)
	c.Label, c.Quiet = program, true
	uid, gid, err := callerIDs()
	if err != nil {
		return nil, err
	}
	who, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil, fmt.Errorf("the user who called this program, %d, is not known on this host: %w", uid, err)
	}
	c.Env = []string{DefaultPath, "HOME=" + who.HomeDir, "USER=" + who.Username, "LOGNAME=" + who.Username, "LANG=C.UTF-8"}
	for _, name := range []string{"SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"} {
		if value, there := os.LookupEnv(name); there {
			c.Env = append(c.Env, name+"="+value)
		} else if run := "/run/user/" + strconv.Itoa(uid); name == "XDG_RUNTIME_DIR" && isDir(run) {
			c.Env = append(c.Env, name+"="+run)
		}
	}
	if uid != os.Geteuid() {
		c.credential, err = credentialOf(who, uid, gid)
	}
	return c, err
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// callerIDs are those of the user who called sudo, if this program runs as root.
func callerIDs() (uid, gid int, err error) {
	text := os.Getenv("SUDO_UID")
	if os.Geteuid() != 0 || text == "" {
		return os.Geteuid(), os.Getegid(), nil
	}
	u, err := strconv.ParseUint(text, 10, 31)
	g, err2 := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 31)
	if err != nil || err2 != nil {
		return 0, 0, fmt.Errorf("SUDO_UID and SUDO_GID are %q and %q, which is no user", text, os.Getenv("SUDO_GID"))
	}
	return int(u), int(g), nil
}

func credentialOf(who *user.User, uid, gid int) (*syscall.Credential, error) {
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	groups, err := who.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of %s: %w", who.Username, err)
	}
	for _, text := range groups {
		if g, err := strconv.ParseUint(text, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(g))
		}
	}
	return c, nil
}
